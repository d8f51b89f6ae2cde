import struct

import pytest

from reconciliation.dicom.arrival import Door, Origin, first_element, kind_of, looks_like_dicom


def test_an_origin_survives_its_own_json():
    origin = Origin(door=Door.MEDIA, user="desk", label="Müller, CT 3.2.", note="brought by the patient")

    assert Origin.from_json(origin.to_json()) == origin


def test_an_origin_of_a_later_version_is_still_read():
    assert Origin.from_json('{"door": "stow", "at": "2026-01-01T00:00:00Z", "colour": "red"}').door == "stow"


def test_an_origin_says_when_in_utc():
    assert Origin(door="dimse").at.endswith("+00:00")


@pytest.mark.parametrize(
    "head",
    [
        bytes(128) + b"DICM",
        b"II*\0" + bytes(124) + b"DICM",
        b"\x08\0\x05\0CS\x0a\0ISO_IR 100",
        b"\x08\0\x05\0\x0a\0\0\0ISO_IR 100",
        b"\0\x08\0\x05CS\0\x0aISO_IR 100",
        b"\x02\0\0\0UL\x04\0\xba\0\0\0",
    ],
    ids=["part 10", "dual with TIFF", "explicit", "implicit", "big endian", "meta without preamble"],
)
def test_what_may_be_dicom_is_recognised(head):
    assert looks_like_dicom(head)


@pytest.mark.parametrize(
    "head", [b"", b"%PDF-1.7\n", b"\xff\xd8\xff\xe0\0\x10JFIF\0", b"PK\x03\x04", b"Dear all,\n" * 20]
)
def test_what_is_not_dicom_is_not_taken_for_it(head):
    assert not looks_like_dicom(head)


def test_an_implausible_length_is_not_an_element():
    assert first_element(struct.pack("<HHI", 8, 5, 0x7FFFFFFF)) is None


def test_a_known_kind_is_named_for_people():
    assert kind_of(b"%PDF-1.4") == "a PDF document"
    assert kind_of(b"nothing known") == ""
