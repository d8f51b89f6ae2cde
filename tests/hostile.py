"""Objects that mean harm, or that harm came to: what a door may let in and intake must survive."""

import struct
import zlib
from collections.abc import Callable
from io import BytesIO

from pydicom.uid import DeflatedExplicitVRLittleEndian

from tests import make

SEQUENCE = b"\x40\x00\x55\xa7SQ\0\0"  # Acquisition Context Sequence, explicit VR little endian
ITEM, ITEM_END, SEQUENCE_END = (struct.pack("<HH", 0xFFFE, element) for element in (0xE000, 0xE00D, 0xE0DD))
UNDEFINED, NOTHING = b"\xff" * 4, b"\0" * 4
HELD, EXPLAINED = "held", "rejected"  # what intake says of it


def dicom(**keywords) -> bytes:
    """A good object of our own, as a file."""
    out = BytesIO()
    make.dataset(**keywords).save_as(out, enforce_file_format=True)
    return out.getvalue()


def without(keyword: str) -> bytes:
    ds, out = make.dataset(), BytesIO()
    del ds[keyword]
    ds.save_as(out)
    return out.getvalue()


def with_tail(tail: bytes) -> bytes:
    """A good object that ends in something else than its pixels."""
    ds, out = make.dataset(), BytesIO()
    del ds.PixelData, ds[0xFFFCFFFC]
    ds.save_as(out, enforce_file_format=True)
    return out.getvalue() + tail


def deflated(inflated: Callable[[bytes], bytes]) -> bytes:
    """A deflated object whose unpacked bytes went through `inflated`."""
    ds, out = make.dataset(), BytesIO()
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    ds.save_as(out, enforce_file_format=True)
    whole = out.getvalue()
    start = 144 + struct.unpack_from("<I", whole, 140)[0]
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    unpacked = zlib.decompress(whole[start:], -zlib.MAX_WBITS)
    return whole[:start] + packer.compress(inflated(unpacked)) + packer.flush()


def nested(levels: int) -> bytes:
    return (SEQUENCE + UNDEFINED + ITEM + UNDEFINED) * levels + (ITEM_END + NOTHING + SEQUENCE_END + NOTHING) * levels


def nested_with_lengths(levels: int) -> bytes:
    """The same with declared lengths: each level can be skipped by who does not look inside."""
    inner = b""
    for _ in range(levels):
        item = ITEM + struct.pack("<I", len(inner)) + inner
        inner = SEQUENCE + struct.pack("<I", len(item)) + item
    return inner


CHANCE = (
    b"a letter to the radiologist, ".ljust(128, b".") + b"DICM" + b"ission of guilt is what this text is not about."
)

# name: (what it is, what becomes of it)
OBJECTS: dict[str, tuple[Callable[[], bytes], str]] = {
    "cut in its header": (lambda: dicom()[:700], EXPLAINED),
    "cut in its pixels": (lambda: dicom()[:20_000], EXPLAINED),
    "cut by one byte": (lambda: with_tail(b"")[:-1], EXPLAINED),
    "nested 20,000 deep": (lambda: with_tail(nested(20_000)), EXPLAINED),
    "nested 20,000 deep with lengths": (lambda: with_tail(nested_with_lengths(20_000)), HELD),
    "400,000 empty items": (lambda: with_tail(SEQUENCE + UNDEFINED + (ITEM + NOTHING) * 400_000), EXPLAINED),
    "400,000 empty elements": (lambda: with_tail(b"\x41\x00\x01\x00LO\0\0" * 400_000), HELD),
    "a sequence that never ends": (lambda: with_tail(SEQUENCE + UNDEFINED + ITEM + UNDEFINED), EXPLAINED),
    "a deflated bomb of zeros": (lambda: deflated(lambda data: data + bytes(400 << 20)), EXPLAINED),
    "a deflated bomb of elements": (lambda: deflated(lambda d: d + b"\x41\x00\x01\x00LO\0\0" * 8_000_000), EXPLAINED),
    "deflated and cut": (lambda: deflated(lambda data: data)[:-40], EXPLAINED),
    "UN of 4 GB": (lambda: with_tail(b"\x41\x00\x01\x00UN\0\0\xfe\xff\xff\xff"), EXPLAINED),
    "pixels of 4 GB": (lambda: with_tail(b"\xe0\x7f\x10\x00OW\0\0\xfe\xff\xff\xff"), EXPLAINED),
    "an item of 4 GB": (lambda: with_tail(SEQUENCE + UNDEFINED + ITEM + b"\xfe\xff\xff\xff"), EXPLAINED),
    "no Study Instance UID": (lambda: without("StudyInstanceUID"), EXPLAINED),
    "no Series Instance UID": (lambda: without("SeriesInstanceUID"), EXPLAINED),
    "no SOP Instance UID": (lambda: without("SOPInstanceUID"), EXPLAINED),
    "no preamble": (lambda: dicom()[132:], HELD),
    "DICM by chance": (lambda: CHANCE, EXPLAINED),
    "meta and no elements": (lambda: dicom()[: 144 + struct.unpack_from("<I", dicom(), 140)[0]], EXPLAINED),
    "a preamble alone": (lambda: bytes(128) + b"DICM", EXPLAINED),
    "nothing at all": (lambda: b"", EXPLAINED),
    "zeros": (lambda: bytes(4096), EXPLAINED),
}
