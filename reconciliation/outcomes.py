"""What a destination said to the objects of one delivery, on its way to the database: a batch at a time.

One write per object would cost more than sending it. What is lost with a process that is killed is sent again.
"""

import time
from collections.abc import Mapping

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from policies import clock
from reconciliation.dicom.scu import Outcome
from reconciliation.models import DeliveredInstance, Delivery

AT_ONCE = 50  # outcomes in one transaction
SECONDS = 1.0  # that an outcome waits at most
SAID = ["status", "accepted", "sentence", "at"]


class Overtaken(Exception):
    """Another worker holds this delivery now."""


class Outcomes:
    """To be kept at the end, however it ends. Everything may raise Overtaken."""

    def __init__(self, delivery: Delivery, uids: Mapping[str, str]) -> None:
        """`uids`: key of an object to the SOP Instance UID under which it goes."""
        self.uids = uids
        self.delivery, self.waiting, self.kept = delivery, [], time.monotonic()
        self.refused: list[Outcome] = []

    def tell(self, outcome: Outcome) -> None:
        said = {"status": outcome.status, "accepted": outcome.accepted, "sentence": outcome.sentence}
        uid = self.uids[outcome.key]
        about = {"instance_id": outcome.key, "sop_instance_uid": uid, "at": timezone.now()}
        row = DeliveredInstance(delivery=self.delivery, **about, **said)
        self.waiting.append(row)
        if outcome.final:
            self.refused.append(outcome)
        if len(self.waiting) >= AT_ONCE:
            self.keep()
        else:
            self.idle()

    def idle(self) -> None:
        """Called again and again while nothing is told: keep what has waited, and the lease."""
        since = time.monotonic() - self.kept
        if since >= (SECONDS if self.waiting else settings.DELIVERY_LEASE_SECONDS / 4):
            self.keep()

    def keep(self) -> None:
        """Write what waits and renew the lease, both or neither."""
        told = DeliveredInstance.objects.filter(delivery=self.delivery)
        with transaction.atomic():
            held = Delivery.objects.filter(pk=self.delivery.pk, attempts=self.delivery.attempts)
            if not held.update(lease_until=clock.later(settings.DELIVERY_LEASE_SECONDS)):
                raise Overtaken
            told.filter(instance__in=[row.instance_id for row in self.waiting]).update(attempts=F("attempts") + 1)
            DeliveredInstance.objects.bulk_create(
                self.waiting, update_conflicts=True, unique_fields=["delivery", "instance"], update_fields=SAID
            )
        self.waiting, self.kept = [], time.monotonic()
