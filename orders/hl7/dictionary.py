"""What the standard calls things and asks for, by hl7apy's tables: for people who look at a message, not for speed."""

from hl7apy import SUPPORTED_LIBRARIES, load_reference
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.exceptions import ChildNotFound, HL7apyException
from hl7apy.parser import parse_message

from orders.hl7.read import Message

USUAL = "2.5.1"  # for versions that hl7apy does not have
BETTER = {"2.1": "2.3.1", "2.2": "2.3.1", "2.3": "2.3.1", "2.7": "2.8.1", "2.8": "2.8.1"}  # than those it stumbles over
STRUCTURES = {  # table 0354, for senders that leave it out
    **{f"ADT_{event}": "ADT_A01" for event in ("A04", "A08", "A13")},
    **{f"ADT_{event}": "ADT_A05" for event in ("A14", "A28", "A31")},
    "ADT_A40": "ADT_A39",
    "ADT_A47": "ADT_A30",
}


def field_name(segment: str, number: int, version: str = USUAL) -> str:
    """ "Patient Identifier List" for PID-3; "" where the standard has no such field."""
    try:
        fields = load_reference(segment, "Segment", version if version in SUPPORTED_LIBRARIES else USUAL)[1]
    except ChildNotFound:
        return ""
    name = next((reference[3] for place, reference, *_ in fields if place == f"{segment}_{number}"), "")
    return (name or "").replace("_", " ").title()


def complaint(message: Message) -> str:
    """The first thing that the standard would have otherwise, in hl7apy's words; "" where it is content.

    Real messages of real systems are rarely without one: this explains, and refuses nothing.
    """
    try:
        read = parse_message(_normal(message), validation_level=VALIDATION_LEVEL.TOLERANT, find_groups=True)
        read.validate()
    except HL7apyException as objection:
        return str(objection)
    except Exception:  # hl7apy stumbles in many ways over what it does not expect
        return "There are no tables for a message like this one."
    return ""


def _normal(message: Message) -> str:
    """As hl7apy wants it: ended by CR, in a version that it knows, with the name of its structure."""
    version = BETTER.get(message.version, message.version)
    name = f"{message.type}_{message.trigger}"
    structure = message.structure or ("ACK" if message.type == "ACK" else STRUCTURES.get(name, name))
    encoding, header = message.encoding, [*message.header.fields]
    header[9:10] = [encoding.component.join([message.type, message.trigger, structure])]
    header[12:13] = [version if version in SUPPORTED_LIBRARIES else USUAL]
    lines = [encoding.field.join([header[0], *header[2:]]), *(one.raw for one in message.segments[1:])]
    return "".join(line.replace("\n", " ") + "\r" for line in lines)
