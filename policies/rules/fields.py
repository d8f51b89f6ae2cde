"""The fields in which a received person or examination is compared with a local one, each judged by a named rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from policies.rules import exams, names
from policies.rules.birthdates import compare_birth_dates
from policies.rules.names import DIFFERENT, MISSING, SAME, Verdict
from policies.rules.weights import Weights

PERSON = ("identifier", "family_name", "given_name", "birth_date", "sex")
LABELS = {"identifier": "Identifier", "family_name": "Family name", "given_name": "Given name", "sex": "Sex"}
LABELS |= {"birth_date": "Birth date", "modality": "Modality", "procedure": "Procedure", "study_date": "Study date"}


class Agreement(StrEnum):
    SAME = "same"
    SIMILAR = "similar"
    DIFFERENT = "different"
    MISSING = "missing"


AGREEMENTS = {each.value: each for each in Agreement}  # every other level is one of the ways to be similar
AGREEMENTS |= dict.fromkeys(("absent", "newborn"), Agreement.MISSING)
AGREEMENTS |= {"sibling": Agreement.DIFFERENT}
AGREEMENTS |= {"linked": Agreement.SAME}


@dataclass(frozen=True)
class Person:
    """`name` is a DICOM PN, `birth_date` a DA or "", `sex` one of M, F, O or "". An issuer "" is unknown.

    `links` are numbers found to be this person's, each with the words that say by whom: they propose, and never act.
    """

    name: str
    birth_date: str
    sex: str
    identifiers: tuple[tuple[str, str], ...] = ()  # (value, issuer)
    links: tuple[tuple[str, str, str], ...] = ()  # (value, issuer, where it comes from)


@dataclass(frozen=True)
class Exam:
    modality: str
    body_part: str
    description: str
    date: str


@dataclass(frozen=True)
class Evidence:
    """`weight` in bits: above 0 speaks for, below 0 against, 0 is silent. `level` is the row of the weights."""

    field: str
    agreement: Agreement
    incoming: str
    local: str
    rule: str
    weight: float
    level: str


class Judged(NamedTuple):
    """One field, how it agrees, and what it weighs in bits."""

    field: str
    verdict: Verdict
    incoming: str
    local: str
    weight: float

    def evidence(self) -> Evidence:
        level = self.verdict.level
        agreement = AGREEMENTS.get(level, Agreement.SIMILAR)
        rule = f"{LABELS[self.field]}: {self.verdict.rule}"
        return Evidence(self.field, agreement, self.incoming, self.local, rule, self.weight, level)


Shares = Mapping[str, float]  # of all patients, those who bear a name of this sound
NO_SHARES: Shares = MappingProxyType({})


def judge_persons(one: Person, other: Person, weights: Weights, shares: Shares) -> list[Judged]:
    """`one` was received, `other` is ours."""
    family, given = names.compare(one.name, other.name)
    (family_one, given_one), (family_other, given_other) = names.shown(one.name), names.shown(other.name)
    born = compare_birth_dates(one.birth_date, other.birth_date)
    if given.level == "different" and family.level == born.level == "same":
        given = Verdict("sibling", "different, and twins share the rest")
    shared = _shared(one.name, other.name, shares) if shares else {}
    identifier, ours, theirs = _linked(one, other) or compare_identifiers(one.identifiers, other.identifiers)
    sex = _sex(one.sex, other.sex)

    def judged(name: str, verdict: Verdict, incoming: str, local: str) -> Judged:
        return Judged(name, verdict, incoming, local, weights.weigh(name, verdict.level, shared.get(name, 0.0)))

    return [
        judged("identifier", identifier, ours, theirs),
        judged("family_name", family, family_one, family_other),
        judged("given_name", given, given_one, given_other),
        judged("birth_date", born, one.birth_date, other.birth_date),
        judged("sex", sex, one.sex, other.sex),
    ]


def _shared(one: str, other: str, shares: Shares) -> dict[str, float]:
    """How frequent the rarest word is that the received name has in common with ours, by the field where it stands."""
    words = {word for group in names.said(one) for part in group for word in part}
    family, given = next(iter(names.said(other)), ([], []))
    known = {"family_name": family, "given_name": given}
    return {
        name: min((shares[w] for w in own if w in words & shares.keys()), default=0.0) for name, own in known.items()
    }


def judge_exams(one: Exam | None, other: Exam | None, weights: Weights) -> list[Judged]:
    """An order against the study received; without an order every field is missing."""
    if not one or not other:
        silent = Verdict("missing", "no order to compare with")
        return [Judged(name, silent, "", "", 0.0) for name in ("modality", "procedure", "study_date")]
    words = [" ".join(filter(None, (exam.body_part, exam.description))) for exam in (one, other)]
    rows = [
        ("modality", exams.modality(one.modality, other.modality), one.modality, other.modality),
        ("procedure", exams.procedure(*words), *words),
        ("study_date", exams.study_date(one.date, other.date), one.date, other.date),
    ]
    return [Judged(*row, weights.weigh(row[0], row[1].level)) for row in rows]


def _sex(one: str, other: str) -> Verdict:
    a, b = one.strip().upper(), other.strip().upper()
    if not {a, b} <= {"M", "F"}:
        return MISSING
    return SAME if a == b else DIFFERENT


Identifiers = Sequence[tuple[str, str]]
IDENTIFIER_RULES = {
    "same": "same number of the same issuer",
    "near": "same number of the same issuer apart from leading zeros or case",
    "unissued": "same number, but one side does not say who issued it",
    "different": "another number of the same issuer",
}


def compare_identifiers(ours: Identifiers, theirs: Identifiers) -> tuple[Verdict, str, str]:
    """The best pair decides; equal numbers of two known issuers are a coincidence and say nothing."""
    pairs = [(_pair_level(a, b), a, b) for a in ours for b in theirs]
    for level, rule in IDENTIFIER_RULES.items():
        for found, a, b in pairs:
            if found == level:
                return Verdict(level, rule), _identifier_shown(a), _identifier_shown(b)
    rule = "none of an issuer that both sides know" if pairs else "not known on both sides"
    return Verdict("missing", rule), *(", ".join(map(_identifier_shown, side)) for side in (ours, theirs))


def _linked(one: Person, other: Person) -> tuple[Verdict, str, str] | None:
    """A number that is not the person's own here, but was found to be theirs."""
    for value, issuer, told in other.links:
        for pair in one.identifiers:
            if _pair_level(pair, (value, issuer)) == "same" and not agreeing_issuers([pair], other.identifiers):
                shown = _identifier_shown((value, issuer))
                return Verdict("linked", told), _identifier_shown(pair), shown
    return None


def agreeing_issuers(ours: Identifiers, theirs: Identifiers) -> set[str]:
    """Who issued the numbers in which both agree; issuers are told apart without regard to case."""
    return {b[1].strip().casefold() for a in ours for b in theirs if _pair_level(a, b) == "same"}


def _pair_level(a: tuple[str, str], b: tuple[str, str]) -> str:
    (value, issuer), (other, other_issuer) = ((text.strip() for text in pair) for pair in (a, b))
    if not value or not other:
        return ""
    if not issuer or not other_issuer:
        return "unissued" if value == other else ""
    if issuer.casefold() != other_issuer.casefold():
        return ""
    if value == other:
        return "same"
    return "near" if value.lstrip("0").casefold() == other.lstrip("0").casefold() else "different"


def _identifier_shown(pair: tuple[str, str]) -> str:
    value, issuer = pair
    return f"{value} ({issuer})" if issuer else value
