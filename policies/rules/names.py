"""Are these two person names the same? Answers with a level and a sentence, never with a number.

Works on DICOM person names (PS3.5 6.2.1): up to three groups, family^given^middle^prefix^suffix in each. Nicknames are
not known here: "Bill" and "William" differ, because a wrong nickname costs more than a look by a person.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

from rapidfuzz.distance import OSA, JaroWinkler

from policies.rules.sounds import loose, romanised, sound

CLOSE = 0.88  # Jaro-Winkler; MILLER and MUELLER are 0.88, JOHN and JANE 0.70
HEARD = 0.70  # the same for names that sound the same: PHILIPPE and FILIP

ENDINGS = set("AEHINOSY")  # letters in whose ends given names of one stem differ

MARKS = re.compile("[\u0300-\u036f]")  # accents of Latin letters; the voicing marks of kana are not among them
APOSTROPHES = re.compile("['`´ʼ’‘]")
IDEOGRAPHS = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
SYLLABLES = re.compile("[\u3040-\u30ff\uac00-\ud7af\uff66-\uff9d]")
LETTERS = str.maketrans({"Ø": "O", "Æ": "AE", "Œ": "OE", "Ł": "L", "Đ": "D", "Ð": "D", "Þ": "TH"})
DIGRAPHS = str.maketrans({"Ä": "AE", "Ö": "OE", "Ü": "UE", "Å": "AA", "Ø": "OE"})
KATAKANA = {code: code + 0x60 for code in range(0x3041, 0x3097)}
UMLAUTS = re.compile("(?<=[AOU])E|(?<=A)A")


def _listed(words: str) -> frozenset[str]:
    return frozenset(words.split())


PARTICLES = _listed(
    "ABU AF AL AN AP BEN BIN BINT D DA DAS DE DEL DELLA DEN DER DES DI DO DOS DU E EL IBN LA LE LOS SAN TEN TER UL VAN "
    "VANT VOM VON Y ZU ZUM ZUR"
)
SUFFIXES = {"JR": "JR", "JUNIOR": "JR", "SR": "SR", "SENIOR": "SR", "II": "II", "III": "III", "IV": "IV"}
NEWBORNS = _listed(
    "BABY BABYBOY BABYGIRL BB BBOY BGIRL BOY GIRL INFANT JUNGE KNABE MADCHEN MAEDCHEN NEONATE NEUGEBORENES NEWBORN "
    "SAEUGLING SAUGLING TWIN ZWILLING"
)
PLACEHOLDERS = _listed("ANON ANONYM ANONYMISED ANONYMIZED ANONYMOUS NN NONAME UNBEKANNT UNKNOWN XXX")


class Verdict(NamedTuple):
    """`level` is a row of the weights; the sentence follows the field's name ("Family name: " ...)."""

    level: str
    rule: str


class Part(NamedTuple):
    """One component, written in the ways in which it may be met."""

    text: str
    words: tuple[str, ...]  # upper case, accents dropped
    digraphs: tuple[str, ...]  # the same with Ü as UE
    bare: tuple[str, ...]  # without particles, and UE read as U
    joined: str  # the words without what stands between them


class Group(NamedTuple):
    family: Part
    given: Part  # with the middle names
    suffix: str
    separated: bool


class Name(NamedTuple):
    alphabetic: Group | None
    ideographic: Group | None
    phonetic: Group | None


SAME = Verdict("same", "same")
MISSING = Verdict("missing", "not known on both sides")
ABSENT = Verdict("absent", "known on neither side")
SCRIPTS = Verdict("missing", "written in different scripts, so not compared")
DIFFERENT = Verdict("different", "different")


def compare(one: str, other: str) -> tuple[Verdict, Verdict]:
    """Family and given name. Characters decide over their romanisation, which many names share."""
    a, b = parse(one), parse(other)
    latin = _groups(a.alphabetic, b.alphabetic) if a.alphabetic and b.alphabetic else None
    if a.ideographic and b.ideographic:
        written = _groups(a.ideographic, b.ideographic)
        return tuple(map(_by_characters, written, latin or (None, None)))
    if a.phonetic and b.phonetic:
        spoken = _groups(a.phonetic, b.phonetic)
        return tuple(map(_by_sound, spoken, latin or spoken))
    if latin:
        return latin
    return (SCRIPTS, SCRIPTS) if any(a) and any(b) else (MISSING, MISSING)


def name_key(name: str) -> str:
    """For search and blocking: family, then given, in upper case without accents; MÜLLER, MUELLER and MULLER agree."""
    group = next((group for group in parse(name) if group), None)
    return _no_umlauts(" ".join(group.family.words + group.given.words)) if group else ""


def shown(name: str) -> tuple[str, str]:
    """Family and given name as they were written, for the screen."""
    group = next((group for group in parse(name) if group), None)
    return (group.family.text, group.given.text) if group else ("", "")


@lru_cache(maxsize=4096)
def said(name: str) -> list[tuple[list[str], list[str]]]:
    """The words of family and given name in each group that say who it is: no placeholders, particles or initials."""
    groups = [group for group in parse(name) if group]
    return [tuple(_saying(part) for part in (group.family, group.given)) for group in groups]


def _saying(part: Part) -> list[str]:
    if NEWBORNS & set(part.words[:1]) or PLACEHOLDERS & {part.joined, *part.words}:
        return []
    words = [word for word in part.bare if len(word) > 1 or not word.isascii()]
    return [*words, "".join(part.bare)] if words and len(part.bare) > 1 else words


# --- taking a name apart ---------------------------------------------------------------------------------------------


def fold(text: str, letters: dict[int, str] = LETTERS) -> tuple[str, ...]:
    """Words in upper case, without accents, apostrophes, hyphens and punctuation."""
    text = APOSTROPHES.sub("", unicodedata.normalize("NFC", text)).upper().translate(letters).translate(LETTERS)
    text = MARKS.sub("", unicodedata.normalize("NFKD", text))
    text = unicodedata.normalize("NFC", text).translate(KATAKANA)
    return tuple(re.sub(r"[\W_]+", " ", text).split())


@lru_cache(maxsize=4096)
def parse(name: str) -> Name:
    """A group that is written where it does not belong (characters in the first group) is put where it does."""
    groups = ([text if text.strip("^ ") else "" for text in name.split("=")] + ["", "", ""])[:3]
    if groups[0] and not groups[1] and IDEOGRAPHS.search(groups[0]):
        groups[:2] = ["", groups[0]]
    elif groups[0] and not groups[2] and SYLLABLES.search(groups[0]):
        groups[0], groups[2] = "", groups[0]
    return Name(*(_group(text) if text else None for text in groups))


def _group(text: str) -> Group:
    parts = text.split("^") if "^" in text else text.split(",", 1)
    family, given, middle, _, suffix = ([part.strip() for part in parts] + [""] * 5)[:5]
    family, given = _part(family), _part(f"{given} {middle}".strip())
    ends = [words[-1] for words in (fold(suffix), given.words[1:], family.words[1:]) if words]
    suffix = next((SUFFIXES[end] for end in ends if end in SUFFIXES), "")
    return Group(_without_suffix(family), _without_suffix(given), suffix, separated=len(parts) > 1)


def _part(text: str) -> Part:
    words = fold(text)
    bare = tuple(_no_umlauts(word) for word in words if word not in PARTICLES)
    return Part(text, words, fold(text, DIGRAPHS), bare or tuple(map(_no_umlauts, words)), "".join(words))


def _without_suffix(part: Part) -> Part:
    if len(part.words) < 2 or part.words[-1] not in SUFFIXES:
        return part
    words = part.words[:-1]
    return Part(part.text, words, part.digraphs[:-1], part.bare[:-1] or part.bare, "".join(words))


def _no_umlauts(text: str) -> str:
    return UMLAUTS.sub("", text)


# --- comparing -------------------------------------------------------------------------------------------------------


def _groups(a: Group, b: Group) -> tuple[Verdict, Verdict]:
    if _only_joined(a, b):
        rule = Verdict("unseparated", "same words, but one side does not separate family and given name")
        return rule, rule
    family, given = _family(a.family, b.family), _given(a.given, b.given)
    if "same" not in (family.level, given.level) and _crossed(a, b):
        swapped = Verdict("swapped", "family and given name are swapped")
        return swapped, swapped
    if family.level == given.level == "different" and _crossed(a, b, "typo", "close"):
        crossed = Verdict("crossed", "family and given name are swapped, and spelled much alike")
        return crossed, crossed
    if {family.level, given.level} <= {"different", "missing"} and _moved(a, b):
        moved = Verdict("moved", "a family name on one side is the given name on the other")
        return moved, moved
    if given.level == "same" and a.suffix and b.suffix and a.suffix != b.suffix:
        given = Verdict("suffix", f"same, but the suffixes differ ({' and '.join(sorted((a.suffix, b.suffix)))})")
    return family, given


def _only_joined(a: Group, b: Group) -> bool:
    """MUELLER ANNA against MUELLER^ANNA: one sender has one field for the whole name."""
    if a.separated == b.separated or not all(_both_known(group) for group in (a, b) if group.separated):
        return False
    one, other = (group.family.bare + group.given.bare for group in (a, b))
    return sorted(one) == sorted(other) or "".join(one) == "".join(other)


def _both_known(group: Group) -> bool:
    return bool(group.family.words and group.given.words)


def _crossed(a: Group, b: Group, *also: str) -> bool:
    crossed = (_given(a.family, b.given).level, _given(a.given, b.family).level)
    return all(level in ("same", "collapsed", "partial", *also) for level in crossed)


def _moved(a: Group, b: Group) -> bool:
    crossed = (_given(a.family, b.given).level, _given(a.given, b.family).level)
    return any(level in ("same", "collapsed", "typo") for level in crossed)


def _alike(a: Part, b: Part) -> Verdict | None:
    """What holds for any component: missing, other scripts, the same in one spelling or another."""
    if not a.words or not b.words:
        return MISSING
    if PLACEHOLDERS & {a.joined, b.joined}:
        return Verdict("missing", "a placeholder, not a name")
    if a.joined.isascii() != b.joined.isascii():
        return _across_scripts(romanised(a.joined), romanised(b.joined))
    if a.text.upper() == b.text.upper():
        return SAME
    if a.joined == b.joined:
        return Verdict("same", "same apart from accents, hyphens or spaces")
    if a.joined[0] != b.joined[0] and a.digraphs == a.words and b.digraphs == b.words:
        return None  # the quick way out: what follows concerns vowels inside
    if {a.joined, "".join(a.digraphs)} & {b.joined, "".join(b.digraphs)}:
        return Verdict("same", "same with ue, oe, ae written for ü, ö, ä")
    if _no_umlauts(a.joined) == _no_umlauts(b.joined):
        return Verdict("collapsed", "same if ue, oe, ae stand for ü, ö, ä")
    return None


def _family(a: Part, b: Part) -> Verdict:
    if verdict := _alike(a, b):
        return verdict
    if sorted(a.bare) == sorted(b.bare):
        return Verdict("particle", "same apart from a particle (van, von, de ...) or the order of its words")
    if _contained(a, b):
        return Verdict("double", "one is a part of the other, a double name")
    return _spelled(a.joined, b.joined) or DIFFERENT


def _given(a: Part, b: Part) -> Verdict:
    if not a.words and not b.words:
        return ABSENT  # people with a single name have it everywhere
    if verdict := _newborn(a, b) or _alike(a, b):
        return verdict
    if _contained(a, b):
        return Verdict("partial", "one side has more given names")
    if all(_abbreviates(*pair) for pair in zip(a.bare, b.bare, strict=False)):
        if a.bare[0] == b.bare[0]:
            return Verdict("partial", "the first is the same, a further one is abbreviated or left out")
        return Verdict("initial", "one side has only the initial")
    spelled = _spelled(a.joined, b.joined)
    if spelled and a.joined[-2:] != b.joined[-2:] and set(a.joined[-2:]) ^ set(b.joined[-2:]) <= ENDINGS:
        return Verdict("close", "spelled much alike")  # ANNA and ANNE, MARTIN and MARTINA: names of two people
    if not spelled and len(a.bare) != len(b.bare):
        spelled = _spelled(a.bare[0], b.bare[0]) and Verdict("close", "the first is spelled much alike")
    return spelled or DIFFERENT


def _newborn(a: Part, b: Part) -> Verdict | None:
    """BABY BOY stands for a child without a name yet. Two placeholders that contradict each other are two children."""
    waiting = [part.words[:1] and part.words[0] in NEWBORNS for part in (a, b)]
    if all(waiting) and not (set(a.words) <= set(b.words) or set(b.words) <= set(a.words)):
        return Verdict("different", "placeholders for two different newborns")
    if any(waiting):
        return Verdict("newborn", "a newborn's placeholder, not a name yet")
    return None


def _contained(a: Part, b: Part) -> bool:
    """All words of one are words of the other; a lone letter is an initial, not a word."""
    fewer, more = sorted((set(a.bare), set(b.bare)), key=len)
    return fewer <= more and any(len(word) > 1 for word in fewer)


def _abbreviates(a: str, b: str) -> bool:
    return a == b or (min(len(a), len(b)) == 1 and a[0] == b[0])


def _spelled(a: str, b: str) -> Verdict | None:
    """A slip of the pen inside a name long enough to be known by the rest, or a name that looks or sounds alike."""
    slips, shorter = OSA.distance(a, b, score_cutoff=2), min(len(a), len(b))
    if a[0] == b[0] and (slips == 1 <= shorter - 3 or slips == 2 <= shorter - 6):
        return Verdict("typo", f"same but for {'one letter' if slips == 1 else 'two letters'}")
    likeness = JaroWinkler.similarity(*sorted((a, b)))  # sorted: the answer must not hang on the order
    if likeness >= CLOSE or slips == 1 < shorter:
        return Verdict("close", "spelled much alike")
    return Verdict("close", "sounds alike") if likeness >= HEARD and sound(a) == sound(b) else None


def _across_scripts(a: str, b: str) -> Verdict:
    """Cyrillic or Greek against Latin letters: by the romanisation, which has many spellings. No other scripts."""
    if not (a.isascii() and b.isascii()):
        return SCRIPTS
    if a == b or loose(a) == loose(b):
        return Verdict("romanised", "same, in another script")
    alike = JaroWinkler.similarity(*sorted((loose(a), loose(b)))) >= CLOSE
    return Verdict("close", "spelled much alike in another script") if alike else DIFFERENT


def _by_characters(written: Verdict, latin: Verdict | None) -> Verdict:
    if written.level in ("missing", "absent"):
        return latin or written
    if written.level in ("same", "swapped", "unseparated"):
        return written
    if latin and latin.level == "same":
        return Verdict("characters", "romanised the same, but written with other characters")
    return DIFFERENT


def _by_sound(spoken: Verdict, latin: Verdict) -> Verdict:
    return spoken if spoken.level in ("same", "swapped", "unseparated") else latin
