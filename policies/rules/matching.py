"""Who is it, which order: candidates weighed field by field, with the evidence. Nothing is chosen here.

The score is the probability that it is this person, times the probability that it is this order of theirs. Two orders
of one person differ only in the second, so that certainty about the person cannot hide which order fits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from math import log2

from policies.rules import exams, names
from policies.rules.birthdates import birth_date_variants, compare_birth_dates
from policies.rules.names import DIFFERENT, MISSING, SAME, Verdict, name_key
from policies.rules.weights import DEFAULT, Weights

__all__ = [
    "DEFAULT",
    "Agreement",
    "Candidate",
    "Class",
    "Evidence",
    "Exam",
    "Match",
    "Person",
    "Proposal",
    "Weights",
    "birth_date_variants",
    "compare",
    "name_key",
    "propose",
]


class Agreement(StrEnum):
    SAME = "same"
    SIMILAR = "similar"
    DIFFERENT = "different"
    MISSING = "missing"


class Class(StrEnum):
    STRONG = "strong"
    POSSIBLE = "possible"
    WEAK = "weak"
    CONFLICT = "conflict"


@dataclass(frozen=True)
class Person:
    """`name` is a DICOM PN, `birth_date` a DA or "", `sex` one of M, F, O or "". An issuer "" is unknown."""

    name: str
    birth_date: str
    sex: str
    identifiers: tuple[tuple[str, str], ...] = ()  # (value, issuer)


@dataclass(frozen=True)
class Exam:
    modality: str
    body_part: str
    description: str
    date: str


@dataclass(frozen=True)
class Candidate:
    key: str
    person: Person
    exam: Exam | None  # None: a patient without an order


@dataclass(frozen=True)
class Evidence:
    """`weight` in bits: above 0 speaks for, below 0 against, 0 is silent."""

    field: str
    agreement: Agreement
    incoming: str
    local: str
    rule: str
    weight: float


@dataclass(frozen=True)
class Match:
    key: str
    score: float
    klass: Class
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True)
class Proposal:
    """`margin`: for rank 1 the score above the runner-up's, for the others the (negative) distance to the first."""

    match: Match
    rank: int
    runner_up: str
    margin: float
    ambiguous: bool


PLAUSIBLE = 0.5  # from here on a candidate competes with others
NEAR = 0.10  # two plausible candidates within this distance are for a person to tell apart
WORTH_A_LOOK = 0.10  # probability of the person, whatever the order
CEILING = 0.40  # of a candidate with a contradiction, however much else agrees
DEPENDABLE = {"same", "collapsed", "particle", "double", "partial", "initial", "swapped", "unseparated"}


def compare(person: Person, exam: Exam | None, candidate: Candidate, *, weights: Weights = DEFAULT) -> Match:
    """Weigh one candidate; each field gives evidence, also where it is missing."""
    who = _person_fields(person, candidate.person)
    which = _exam_fields(exam, candidate.exam)
    evidence = tuple(_evidence(*row, weights) for row in who + which)
    bits = {each.field: each.weight for each in evidence}
    score = likely = _probability(weights.person, (bits[row[0]] for row in who))
    if exam and candidate.exam:
        score = likely * _probability(weights.order, (bits[row[0]] for row in which))
    levels = {name: verdict.level for name, verdict, *_ in who}
    if _contradicts(levels):
        return Match(candidate.key, min(score, CEILING), Class.CONFLICT, evidence)
    return Match(candidate.key, score, _class(likely, score, levels), evidence)


def propose(
    person: Person,
    exam: Exam | None,
    candidates: Iterable[Candidate],
    *,
    weights: Weights = DEFAULT,
    keep: int = 8,
) -> list[Proposal]:
    """The best candidates in a stable order. An ambiguous one has a rival that only a person may tell apart from it."""
    by_key = {candidate.key: candidate for candidate in candidates}
    matches = [compare(person, exam, candidate, weights=weights) for candidate in by_key.values()]
    matches.sort(key=lambda match: (-match.score, match.key))
    torn = _torn(matches, by_key)
    return [
        Proposal(match, rank, *_distance(rank, matches), ambiguous=match.key in torn)
        for rank, match in enumerate(matches[:keep], start=1)
    ]


# --- the fields ------------------------------------------------------------------------------------------------------

Row = tuple[str, Verdict, str, str]
AGREEMENTS = {each.value: each for each in Agreement}  # every other level is one of the ways to be similar
LABELS = {"identifier": "Identifier", "family_name": "Family name", "given_name": "Given name", "sex": "Sex"}
LABELS |= {"birth_date": "Birth date", "modality": "Modality", "procedure": "Procedure", "study_date": "Study date"}


def _person_fields(one: Person, other: Person) -> list[Row]:
    family, given = names.compare(one.name, other.name)
    written = zip(names.shown(one.name), names.shown(other.name), strict=True)
    (family_one, family_other), (given_one, given_other) = written
    return [
        ("identifier", *_identifiers(one.identifiers, other.identifiers)),
        ("family_name", family, family_one, family_other),
        ("given_name", given, given_one, given_other),
        ("birth_date", compare_birth_dates(one.birth_date, other.birth_date), one.birth_date, other.birth_date),
        ("sex", _sex(one.sex, other.sex), one.sex, other.sex),
    ]


def _exam_fields(one: Exam | None, other: Exam | None) -> list[Row]:
    if not one or not other:
        silent = Verdict("missing", "no order to compare with")
        return [(name, silent, "", "") for name in ("modality", "procedure", "study_date")]
    words = [" ".join(filter(None, (exam.body_part, exam.description))) for exam in (one, other)]
    return [
        ("modality", exams.modality(one.modality, other.modality), one.modality, other.modality),
        ("procedure", exams.procedure(*words), *words),
        ("study_date", exams.study_date(one.date, other.date), one.date, other.date),
    ]


def _evidence(name: str, verdict: Verdict, incoming: str, local: str, weights: Weights) -> Evidence:
    level = verdict.level
    agreement = AGREEMENTS.get(level, Agreement.SIMILAR)
    rule = f"{LABELS[name]}: {verdict.rule}"
    return Evidence(name, agreement, incoming, local, rule, weights.weigh(name, level))


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


def _identifiers(ours: Identifiers, theirs: Identifiers) -> tuple[Verdict, str, str]:
    """The best pair decides; equal numbers of two known issuers are a coincidence and say nothing."""
    pairs = [(_pair_level(a, b), a, b) for a in ours for b in theirs]
    for level, rule in IDENTIFIER_RULES.items():
        for found, a, b in pairs:
            if found == level:
                return Verdict(level, rule), _identifier_shown(a), _identifier_shown(b)
    rule = "none of an issuer that both sides know" if pairs else "not known on both sides"
    return Verdict("missing", rule), *(", ".join(map(_identifier_shown, side)) for side in (ours, theirs))


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


# --- the verdict -----------------------------------------------------------------------------------------------------


def _probability(prior: float, weights: Iterable[float]) -> float:
    bits = log2(prior / (1 - prior)) + sum(weights)
    return 1 / (1 + 2 ** -max(-500.0, min(500.0, bits)))


def _contradicts(levels: Mapping[str, str]) -> bool:
    """Another birth date that is no slip of the pen, another sex, or a known identifier with another person's facts."""
    if "different" in (levels["birth_date"], levels["sex"]):
        return True
    other_name = levels["family_name"] == levels["given_name"] == "different"
    return levels["identifier"] == "same" and other_name and levels["birth_date"] != "same"


def _class(likely: float, score: float, levels: Mapping[str, str]) -> Class:
    """Only a known issuer's identifier makes a match strong, and only with birth date and name behind it.

    An order for something else takes the strength away, but the person stays worth a look: they may need another order.
    """
    named = {levels["family_name"], levels["given_name"]} <= DEPENDABLE
    if levels["identifier"] == levels["birth_date"] == "same" and named and score >= PLAUSIBLE:
        return Class.STRONG
    return Class.POSSIBLE if likely >= WORTH_A_LOOK else Class.WEAK


def _distance(rank: int, matches: Sequence[Match]) -> tuple[str, float]:
    """Runner-up and margin of the candidate at this rank."""
    here, first = matches[rank - 1].score, matches[0].score
    if rank > 1:
        return "", here - first
    second = matches[1] if len(matches) > 1 else None
    return (second.key, here - second.score) if second else ("", here)


def _torn(matches: Sequence[Match], candidates: Mapping[str, Candidate]) -> set[str]:
    """The keys that a rule must not choose between."""
    contenders = [match for match in matches if match.klass in (Class.STRONG, Class.POSSIBLE)]
    torn: set[str] = set()
    for a, b in combinations(contenders, 2):
        if _rival(candidates[a.key], candidates[b.key]) and (_both_plausible(a, b) or _footprint(a) == _footprint(b)):
            torn |= {a.key, b.key}
    return torn


def _both_plausible(a: Match, b: Match) -> bool:
    return min(a.score, b.score) >= PLAUSIBLE and abs(a.score - b.score) <= NEAR


def _footprint(match: Match) -> list[tuple[str, Agreement, float]]:
    return [(each.field, each.agreement, each.weight) for each in match.evidence]


def _rival(a: Candidate, b: Candidate) -> bool:
    """Different persons, or two orders of one; a patient and an order of the same patient do not compete."""
    return (a.exam is not None and b.exam is not None) or not _one_person(a.person, b.person)


def _one_person(a: Person, b: Person) -> bool:
    known = {pair for pair in a.identifiers if all(pair)}
    return a == b or bool(known & set(b.identifiers))
