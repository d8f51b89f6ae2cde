"""Does an outside examination fit a local order? Modality, body part and words, dates; same verdicts as for names."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from policies.rules.names import DIFFERENT, MISSING, SAME, Verdict, fold
from policies.rules.values import as_date

DAYS_NEAR = 30
ACCOMPANY = {"SR", "PR", "KO", "OT", "SC", "DOC", "REG", "SEG", "AU"}  # say nothing about the machine
KIN = ({"CR", "DX", "RF", "RG"}, {"XA", "RF"}, {"PT", "CT"}, {"PT", "NM"}, {"US", "IVUS"}, {"ES", "XC", "GM"})

# Words for the same part of the body, in the languages that outside studies are described in.
BODY = (
    ("CHEST", "THORAX", "LUNG", "LUNGS", "LUNGE"),
    ("ABDOMEN", "ABD", "BAUCH", "OBERBAUCH", "BELLY"),
    ("HEAD", "KOPF", "BRAIN", "HIRN", "CRANIUM", "SKULL", "SCHADEL", "SCHAEDEL", "NEURO", "CEREBRAL"),
    ("KNEE", "KNIE", "GENOU"),
    ("HIP", "HUFTE", "HUEFTE"),
    ("PELVIS", "BECKEN"),
    ("SPINE", "WIRBELSAULE", "WIRBELSAEULE"),
    ("LSPINE", "LUMBAR", "LUMBALE", "LWS"),
    ("CSPINE", "CERVICAL", "HWS"),
    ("TSPINE", "THORACIC", "BWS"),
    ("BREAST", "MAMMA", "MAMMOGRAPHY", "MAMMOGRAPHIE", "MAMMO"),
    ("SHOULDER", "SCHULTER", "EPAULE"),
    ("HEART", "HERZ", "CARDIAC", "CORONARY"),
    ("NECK", "HALS"),
    ("HAND", "HANDS"),
    ("FOOT", "FUSS"),
    ("ANKLE", "SPRUNGGELENK"),
    ("LIVER", "LEBER"),
)
CANON = {word: words[0] for words in BODY for word in words}  # the first of each is the one shown
RIGHT_LEFT = {"RIGHT": "R", "RT": "R", "R": "R", "RECHTS": "R", "RE": "R", "LEFT": "L", "LT": "L", "L": "L"}
RIGHT_LEFT |= {"LINKS": "L", "LI": "L", "BILATERAL": "B", "BEIDSEITS": "B", "BOTH": "B", "BDS": "B"}
IDLE = {
    "A",
    "AND",
    "CD",
    "DISC",
    "EXAM",
    "EXAMINATION",
    "EXTERNAL",
    "FOR",
    "FOREIGN",
    "IMPORT",
    "IMPORTED",
    "MIT",
    "OF",
}
IDLE |= {
    "OHNE",
    "OUTSIDE",
    "PRIOR",
    "STUDY",
    "THE",
    "UND",
    "UNTERSUCHUNG",
    "VIEW",
    "VIEWS",
    "W",
    "WITH",
    "WITHOUT",
    "WO",
}
IDLE |= {"CONTRAST", "KM", "KONTRASTMITTEL", "ROUTINE", "STANDARD", "SCAN"}
MACHINES = {"CT", "MR", "MRI", "MRT", "CR", "DX", "XR", "XA", "US", "NM", "PT", "PET", "RF", "MG"}


class Words(NamedTuple):
    """What is left of a description when idle words are gone, and the side of the body that it names."""

    about: frozenset[str]
    side: str


def modality(one: str, other: str) -> Verdict:
    """Several modalities of one study come as CT\\PT or CT, PT; one in common is enough."""
    a, b = _modalities(one), _modalities(other)
    if not a or not b:
        return MISSING
    if a & b:
        return SAME
    if any(a & kin and b & kin for kin in KIN):
        return Verdict("related", f"{one} and {other} are related techniques")
    return DIFFERENT


def procedure(one: str, other: str) -> Verdict:
    """Overlap of the words of body part and description, as a share of the shorter one."""
    a, b = _words(one), _words(other)
    if not a.about or not b.about:
        return MISSING
    if {a.side, b.side} == {"L", "R"}:
        return Verdict("different", "one says left, the other right")
    common = a.about & b.about
    if not common:
        return DIFFERENT
    if 2 * len(common) > min(len(a.about), len(b.about)):
        return Verdict("same", f"same words ({', '.join(sorted(common)).lower()})")
    return Verdict("overlap", f"some words agree ({', '.join(sorted(common)).lower()})")


def study_date(one: str, other: str) -> Verdict:
    """Study date against order date; an order made for importing is often later, so a gap weighs little."""
    a, b = as_date(one.strip()), as_date(other.strip())
    if not a or not b:
        return MISSING
    days = abs((a - b).days)
    if days == 0:
        return SAME
    apart = f"{days} day{'s' * (days > 1)} between study and order"
    return Verdict("near" if days <= DAYS_NEAR else "different", apart)


@lru_cache(maxsize=1024)
def _modalities(text: str) -> frozenset[str]:
    return frozenset(fold(text)) - ACCOMPANY


@lru_cache(maxsize=4096)
def _words(text: str) -> Words:
    folded = fold(text)
    sides = {RIGHT_LEFT[word] for word in folded if word in RIGHT_LEFT}
    side = "B" if len(sides) > 1 else next(iter(sides), "")
    about = {CANON.get(word, word) for word in folded if word not in RIGHT_LEFT and word not in IDLE | MACHINES}
    return Words(frozenset(about), side)
