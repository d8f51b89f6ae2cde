"""How a name sounds, as a short code: for finding candidates and for telling a slip of spelling from another name.

One code for the European languages: consonants fall into eight classes (as in Soundex and the Cologne phonetics),
vowels count at the beginning only. Cyrillic and Greek are romanised first; other scripts stand for themselves.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import groupby

LONGEST = 6  # classes that are kept
CLUSTERS = (("SCH", "S"), ("CH", "K"), ("CK", "K"), ("SH", "S"), ("PH", "F"), ("TH", "T"), ("DT", "T"), ("TZ", "Z"))
CLASSES = {"BP": "B", "FVW": "F", "CGKQX": "K", "DT": "T", "SZ": "S", "L": "L", "MN": "M", "R": "R"}
CLASS_OF = {letter: klass for letters, klass in CLASSES.items() for letter in letters}

CYRILLIC = (
    "А:A Б:B В:V Г:G Ґ:G Д:D Е:E Ё:E Ж:ZH З:Z И:I Й:I І:I Ї:I К:K Л:L М:M Н:N О:O П:P Р:R С:S Т:T У:U Ф:F Х:KH Ц:TS "
)
CYRILLIC += "Ч:CH Ш:SH Щ:SHCH Ъ: Ы:Y Ь: Э:E Є:E Ю:YU Я:YA Ў:U Ј:J Љ:LJ Њ:NJ Ђ:DJ Ћ:C Џ:DZ"
GREEK = "Α:A Β:V Γ:G Δ:D Ε:E Ζ:Z Η:I Θ:TH Ι:I Κ:K Λ:L Μ:M Ν:N Ξ:X Ο:O Π:P Ρ:R Σ:S Τ:T Υ:Y Φ:F Χ:CH Ψ:PS Ω:O"
GREEK_PAIRS = (("ΟΥ", "OU"), ("ΑΥ", "AV"), ("ΕΥ", "EV"), ("ΜΠ", "B"), ("ΝΤ", "NT"), ("ΓΓ", "NG"), ("ΓΚ", "GK"))
ROMAN = str.maketrans(dict(pair.split(":") for alphabet in (CYRILLIC, GREEK) for pair in alphabet.split()))
# What the romanisations of one letter differ in: Щ is SHCH, SCHTSCH or SC; Ж is ZH, J or SCH; В is V or W.
LOOSE = (
    "SCHTSCH:S SHCH:S TSCH:S SCH:S SH:S ZH:S KH:H CH:S TS:S TZ:S KS:X PH:F TH:T DJ:J DH:D OU:U W:V FF:V F:V J:I Y:I "
    "II:I IE:E IO:E CE:SE CI:SI CK:K C:K Z:S G:H"
)
MERGED = [pair.split(":") for pair in LOOSE.split()]


def romanised(word: str) -> str:
    """An upper-case Cyrillic or Greek word in Latin letters, one common way; any other word as it is."""
    for pair, latin in GREEK_PAIRS:
        word = word.replace(pair, latin)
    return word.translate(ROMAN)


def loose(word: str) -> str:
    """A romanised word with the letters merged in which romanisations differ: SHCHERBAKOV, SCHTSCHERBAKOW."""
    for written, merged in MERGED:
        word = word.replace(written, merged)
    return word


@lru_cache(maxsize=16384)
def sound(word: str) -> str:
    """The code of an upper-case word without accents; characters that are no Latin letters stand for themselves."""
    word = romanised(word)
    if not word.isascii():
        return word[:LONGEST]
    for written, heard in CLUSTERS:
        word = word.replace(written, heard)
    classes = [CLASS_OF.get(letter, "") for letter in word]
    heard = "".join(klass for klass, _ in groupby(classes))  # a vowel between two of one class keeps them apart
    begins = "" if not word or classes[0] else "H" if word[0] == "H" else "A"
    return re.sub(r"[^A-Z]", "", begins + heard)[:LONGEST]
