"""Command sets as bytes (PS3.7 6.3.1): group 0000 in Implicit VR Little Endian, whatever the data set is in."""

import struct

from pynetdicom.pdu_primitives import P_DATA

C_STORE_RQ, C_STORE_RSP = 0x0001, 0x8001
NO_DATA_SET = 0x0101

# Element numbers of group 0000, PS3.7 annex E
GROUP_LENGTH, AFFECTED_SOP_CLASS_UID, COMMAND_FIELD, MESSAGE_ID = 0x0000, 0x0002, 0x0100, 0x0110
MESSAGE_ID_RESPONDED_TO, DATA_SET_TYPE, STATUS, ERROR_COMMENT = 0x0120, 0x0800, 0x0900, 0x0902
AFFECTED_SOP_INSTANCE_UID = 0x1000

COMMAND, LAST = 1, 2  # bits of the message control header, PS3.8 E.2

P_DATA_TF = 0x04
PDU = struct.Struct(">BxI")  # type, bytes that follow; PS3.8 9.3.1
FRAGMENT = struct.Struct(">IBB")  # length with the next two, presentation context, message control header; 9.3.5.1
ELEMENT = struct.Struct("<HHI")


def parsed(encoded: bytes) -> dict[int, bytes]:
    """A command set by element number; what is cut off at its end is left out."""
    elements, position = {}, 0
    while position + ELEMENT.size <= len(encoded):
        _, element, length = ELEMENT.unpack_from(encoded, position)
        position += ELEMENT.size + length
        elements[element] = encoded[position - length : position]
    return elements


def number(elements: dict[int, bytes], element: int) -> int:
    return int.from_bytes(elements.get(element, b"")[:2], "little")


def has_data_set(elements: dict[int, bytes]) -> bool:
    return number(elements, DATA_SET_TYPE) != NO_DATA_SET


def element(tag: int, value: bytes | int, *, pad: bytes = b"\0") -> bytes:
    """One element; numbers are US."""
    raw = struct.pack("<H", value) if isinstance(value, int) else value + pad * (len(value) % 2)
    return ELEMENT.pack(0, tag, len(raw)) + raw


def store_response(request: dict[int, bytes], status: int, comment: str = "") -> bytes:
    """The answer to a C-STORE request (PS3.7 9.3.1.2)."""
    response = element(AFFECTED_SOP_CLASS_UID, request.get(AFFECTED_SOP_CLASS_UID, b"").strip(b" \0"))
    response += element(COMMAND_FIELD, C_STORE_RSP)
    response += element(MESSAGE_ID_RESPONDED_TO, number(request, MESSAGE_ID))
    response += element(DATA_SET_TYPE, NO_DATA_SET) + element(STATUS, status)
    if comment:
        response += element(ERROR_COMMENT, comment.encode("ascii", "replace")[:64], pad=b" ")
    response += element(AFFECTED_SOP_INSTANCE_UID, request.get(AFFECTED_SOP_INSTANCE_UID, b"").strip(b" \0"))
    return element(GROUP_LENGTH, struct.pack("<I", len(response))) + response


def p_data(context_id: int, fragment: bytes) -> P_DATA:
    """A fragment with its message control header, as pynetdicom's primitive."""
    primitive = P_DATA()
    primitive.presentation_data_value_list = [[context_id, fragment]]
    return primitive


def p_data_tf(context_id: int, command: bytes) -> bytes:
    """A whole command set as the PDU that goes over the wire (PS3.8 9.3.5)."""
    length = len(command) + 2
    return PDU.pack(P_DATA_TF, length + 4) + FRAGMENT.pack(length, context_id, COMMAND | LAST) + command
