"""Who is it, which order: candidates weighed field by field, with the evidence. Nothing is chosen here.

The score is the probability that it is this candidate and none of the others. It is the probability that it is this
person among those shown (or none of them), times the probability that it is this order of theirs (or none of these).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from math import log2

from policies.rules.fields import (
    NO_SHARES,
    Agreement,
    Evidence,
    Exam,
    Judged,
    Person,
    Shares,
    agreeing_issuers,
    judge_exams,
    judge_persons,
)
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
    "compare",
    "may_match_itself",
    "propose",
]


class Class(StrEnum):
    STRONG = "strong"
    POSSIBLE = "possible"
    WEAK = "weak"
    CONFLICT = "conflict"


@dataclass(frozen=True)
class Candidate:
    """`patient` is the key that the candidates of one patient share; without one, each is a person of its own."""

    key: str
    person: Person
    exam: Exam | None  # None: a patient without an order
    patient: str = ""


@dataclass(frozen=True)
class Match:
    """`score`: the probability that it is this one; those of all candidates and of "none of them" sum to 1 at most.

    `issuers` are those by whose numbers received and local person agree.
    """

    key: str
    score: float
    klass: Class
    evidence: tuple[Evidence, ...]
    issuers: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Proposal:
    """`margin`: for rank 1 the score above the runner-up's, for the others the (negative) distance to the first."""

    match: Match
    rank: int
    runner_up: str
    margin: float
    ambiguous: bool


PLAUSIBLE = 0.5  # on its own evidence: from here on a candidate competes with others
CERTAIN = 0.99  # probability of the person from which on a match may be strong
TORN = 1 / 9  # a person may be the one whose odds are not below this share of the best one's odds
WORTH_A_LOOK = 0.10  # on its own evidence, whatever the order
CEILING = 0.40  # of a candidate with a contradiction, however much else agrees
MOST_BITS = 400.0  # beyond it a floating-point number would overflow

DEPENDABLE = {"same", "collapsed", "particle", "double", "partial", "swapped", "unseparated", "romanised"}
DEPENDABLE |= {"initial"}
UNNAMED = {"missing", "absent"}
UNCLEAR = {"different", "sibling", "moved", "suffix", "characters", "newborn"}


def compare(
    person: Person, exam: Exam | None, candidate: Candidate, *, weights: Weights = DEFAULT, shares: Shares = NO_SHARES
) -> Match:
    """Weigh one candidate as if there were no other; each field gives evidence, also where it is missing."""
    return propose(person, exam, [candidate], weights=weights, shares=shares)[0].match


def propose(
    person: Person,
    exam: Exam | None,
    candidates: Iterable[Candidate],
    *,
    weights: Weights = DEFAULT,
    shares: Shares = NO_SHARES,
    keep: int = 8,
) -> list[Proposal]:
    """The best candidates in a stable order. An ambiguous one has a rival that only a person may tell apart from it.

    `shares` tells how frequent names are: agreement in a rare one says more.
    """
    field = _Field(person, exam, candidates, weights, shares)
    scored = sorted((-score, key) for key, score in field.scores().items())
    torn = field.torn()
    proposals = []
    for rank, (negative, key) in enumerate(scored[:keep], start=1):
        runner_up, other = ("", -scored[0][0]) if rank > 1 else _second(scored)
        proposals.append(Proposal(field.match(key, -negative), rank, runner_up, -negative - other, key in torn))
    return proposals


def may_match_itself(
    proposals: Sequence[Proposal], *, trusted: Collection[str], least: float = CERTAIN, deidentified: bool = False
) -> str:
    """Why the first of these must not be taken without a person's decision; "" when it may.

    It needs a number of an issuer that is trusted, the same birth date and name, and no rival.
    """
    if deidentified:
        return "What was received is de-identified: whose it is must be decided by a person."
    if not proposals:
        return "Nobody fits what was received."
    first = proposals[0]
    if first.ambiguous:
        return "Several candidates fit what was received: a person must tell them apart."
    if first.match.klass != Class.STRONG:
        return f"The best candidate is not a strong match but {first.match.klass}."
    levels = {each.field: each.level for each in first.match.evidence}
    if not {levels["family_name"], levels["given_name"]} <= DEPENDABLE:
        return "The name does not agree well enough."
    if not first.match.issuers & {issuer.strip().casefold() for issuer in trusted}:
        return "No identifier of a trusted issuer agrees."
    if first.match.score < least:
        return "The best candidate is less certain than the policy asks for."
    return ""


def _second(scored: list[tuple[float, str]]) -> tuple[str, float]:
    return (scored[1][1], -scored[1][0]) if len(scored) > 1 else ("", 0.0)


# --- the field of candidates -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Known:
    """One of our patients against the person received, on the evidence of that alone."""

    person: Person
    judged: list[Judged]
    odds: float

    @cached_property
    def levels(self) -> dict[str, str]:
        return {each.field: each.verdict.level for each in self.judged}

    def level(self, name: str) -> str:
        return self.levels[name]

    @property
    def is_plausible(self) -> bool:
        return self.odds >= PLAUSIBLE / (1 - PLAUSIBLE)

    @property
    def is_worth_a_look(self) -> bool:
        return self.odds >= WORTH_A_LOOK / (1 - WORTH_A_LOOK)

    @cached_property
    def contradicts(self) -> bool:
        """Another birth date that is no slip of the pen, another sex, or a known number with another person's facts."""
        if "different" in (self.level("birth_date"), self.level("sex")):
            return True
        other_name = self.level("family_name") == self.level("given_name") == "different"
        return self.level("identifier") == "same" and other_name and self.level("birth_date") != "same"

    @cached_property
    def is_clear(self) -> bool:
        """The whole birth date agrees, a name does, and neither the other name nor a number speaks against."""
        names = {self.level("family_name"), self.level("given_name")}
        named = not names & UNCLEAR and not names <= UNNAMED
        return named and self.level("birth_date") == "same" and self.level("identifier") != "different"


class _Field:
    """All candidates together: what one gains the others lose."""

    def __init__(
        self, person: Person, exam: Exam | None, candidates: Iterable[Candidate], weights: Weights, shares: Shares
    ):
        self.person = person
        self.candidates = {one.key: one for one in candidates}
        self.known: dict[str, _Known] = {}  # by patient
        self.exams: dict[str, list[Judged]] = {}  # by candidate, as the next
        self.order_odds: dict[str, float] = {}
        self.orders: dict[str, float] = defaultdict(float)  # the odds of all orders of a patient
        for key, one in self.candidates.items():
            who = _who(one)
            if who not in self.known:
                judged = judge_persons(person, one.person, weights, shares)
                self.known[who] = _Known(one.person, judged, _odds(weights.person, judged))
            self.exams[key] = judge_exams(exam, one.exam, weights)
            self.order_odds[key] = _odds(weights.order, self.exams[key]) if one.exam else 0.0
            self.orders[who] += self.order_odds[key]
        self.total = 1 + sum(one.odds for one in self.known.values())  # 1: none of them
        self.claimed = {who for who, one in self.known.items() if one.level("identifier") == "same"}
        self.plausible = {who for who, one in self.known.items() if one.is_plausible}

    def scores(self) -> dict[str, float]:
        return {key: min(self._score(key), CEILING if self._of(key).contradicts else 1.0) for key in self.candidates}

    def torn(self) -> set[str]:
        """The keys that a rule must not choose between: persons who are much as likely as the best, orders of them."""
        fit = {who: one for who, one in self.known.items() if one.is_worth_a_look and not one.contradicts}
        best = max((one.odds for one in fit.values()), default=0.0)
        near = {who for who, one in fit.items() if one.odds >= TORN * best}
        by_patient = {who: [key for key, one in self.candidates.items() if _who(one) == who] for who in near}
        if len(near) > 1:
            return {key for keys in by_patient.values() for key in keys}
        return {key for keys in by_patient.values() for key in self._torn_orders(keys)}

    def match(self, key: str, score: float) -> Match:
        who, candidate = self._of(key), self.candidates[key]
        evidence = tuple(one.evidence() for one in (*who.judged, *self.exams[key]))
        issuers = agreeing_issuers(self.person.identifiers, candidate.person.identifiers)
        return Match(key, score, self._class(key), evidence, frozenset(issuers))

    def _class(self, key: str) -> Class:
        """An order for something else takes the strength away, but the person stays worth a look."""
        who, one = _who(self.candidates[key]), self._of(key)
        if one.contradicts:
            return Class.CONFLICT
        rivals = (self.claimed | self.plausible) - {who}
        certain = one.odds / self.total >= CERTAIN and not rivals
        fits = self.candidates[key].exam is None or self._share(key) >= PLAUSIBLE
        if certain and one.is_clear and fits:
            return Class.STRONG
        return Class.POSSIBLE if one.is_worth_a_look else Class.WEAK

    def _score(self, key: str) -> float:
        return self._of(key).odds / self.total * self._share(key)

    def _share(self, key: str) -> float:
        """The probability of this order among those of its patient, or that it is none of them."""
        odds = self.order_odds[key] if self.candidates[key].exam else 1.0
        return odds / (1 + self.orders[_who(self.candidates[key])])

    def _torn_orders(self, keys: list[str]) -> list[str]:
        odds = {key: self.order_odds[key] for key in keys if self.order_odds[key] >= 1}
        best = max(odds.values(), default=0.0)
        near = [key for key, one in odds.items() if one >= TORN * best]
        return near if len(near) > 1 else []

    def _of(self, key: str) -> _Known:
        return self.known[_who(self.candidates[key])]


def _who(candidate: Candidate) -> str:
    return candidate.patient or candidate.key


def _odds(prior: float, judged: Iterable[Judged]) -> float:
    bits = log2(prior / (1 - prior)) + sum(one.weight for one in judged)
    return 2 ** max(-MOST_BITS, min(MOST_BITS, bits))
