"""Our own truth: the hospital's patients and orders, the messages that tell of them, the systems that know them."""

from orders.models.messages import Feed, Message, Notice
from orders.models.orders import AccessionSequence, Order
from orders.models.patients import (
    Claim,
    CrossReference,
    Identifier,
    Merge,
    Patient,
    PatientKey,
    person_name,
    plain_text,
)
from orders.models.systems import DemographicsSource, Lookup, OrderSystem, Worklist

__all__ = [
    "AccessionSequence",
    "Claim",
    "CrossReference",
    "DemographicsSource",
    "Feed",
    "Identifier",
    "Lookup",
    "Merge",
    "Message",
    "Notice",
    "Order",
    "OrderSystem",
    "Patient",
    "PatientKey",
    "Worklist",
    "person_name",
    "plain_text",
]
