"""What speaks against a choice that a person makes: never a bar, always a reason to say why."""

from policies.rules.matching import Agreement, Class, Match
from policies.rules.quality import Found, Severity

PREFIX = "mapping_"  # these findings come with a mapping and go with it
PERSON = ("identifier", "family_name", "given_name", "birth_date", "sex")
WORDS = {"identifier": "identifier", "family_name": "family name", "given_name": "given name"}
WORDS |= {"birth_date": "birth date", "sex": "sex"}


def objections(match: Match, *, taken: bool = False, alike: int = 0, another: str = "") -> list[Found]:
    """`taken`: the order has another study already. `alike`: patients whom no rule can tell apart from this one.

    `another`: why the number that came is known to be another patient's, "" when it is not.
    """
    found = [_person(match), _modality(match)]
    if another:
        found.append(_override("another_number", another))
    if taken:
        found.append(_override("order_taken", "The order chosen already has another study."))
    if alike > 1:
        sentence = f"{alike} patients fit what was received equally well. Make sure that this is the right one."
        found.append(Found(f"{PREFIX}alike", Severity.WARN, sentence))
    return [one for one in found if one]


def not_amended(warnings: list[str]) -> list[Found]:
    """What managers want to be written and cannot be, as one note."""
    return [Found(f"{PREFIX}not_amended", Severity.WARN, " ".join(warnings))] if warnings else []


def _override(code: str, sentence: str) -> Found:
    return Found(PREFIX + code, Severity.OVERRIDE, sentence)


def _person(match: Match) -> Found | None:
    different = [WORDS[e.field] for e in match.evidence if e.field in PERSON and e.agreement == Agreement.DIFFERENT]
    if match.klass == Class.CONFLICT:
        return _override("conflict", f"The patient chosen contradicts what was received: another {_listed(different)}.")
    if match.klass == Class.WEAK:
        but = f", and there is another {_listed(different)}" if different else ""
        return _override("weak", f"Little of what was received speaks for the patient chosen{but}.")
    return None


def _modality(match: Match) -> Found | None:
    for one in match.evidence:
        if one.field == "modality" and one.agreement == Agreement.DIFFERENT:
            sentence = f"The order chosen is for {one.local}, what was received is {one.incoming}."
            return _override("other_modality", sentence)
    return None


def _listed(words: list[str]) -> str:
    return " and another ".join(words) if words else "person"
