"""A message applied to patients and orders. The seed: nothing is applied yet, and every message is told so."""

from django.utils import timezone

from orders.hl7 import read, write


def receive(raw: bytes, *, peer: str) -> bytes:
    """The acknowledgement of one message, without its frame; whatever AA promises is committed by then."""
    try:
        message = read.parse(raw, zone=timezone.get_current_timezone())
    except read.NotHL7 as problem:
        error = write.Error(write.INTERNAL, str(problem))
        return write.acknowledge(problem.header, "AE", error=error, now=timezone.now())
    error = write.Error(write.UNSUPPORTED_TYPE, "This portal takes no messages yet.", ("MSH", 1, 9, 1, 1))
    return write.acknowledge(message, "AR", error=error, now=timezone.now())
