"""The procedure map: under which local procedure an outside study is imported. Facts in, a line and its reasons out."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from policies.rules import scopes
from policies.rules.exams import CANON
from policies.rules.names import fold

Code = tuple[str, str]  # Code Value, Coding Scheme Designator


class Line(NamedTuple):
    """What a line of the map asks for; what is empty fits anything. The lowest priority number comes first."""

    key: str
    procedure: str
    priority: int = 100
    source: str = ""
    modality: str = ""
    body_part: str = ""
    words: str = ""
    code: str = ""
    scheme: str = ""


class Outside(NamedTuple):
    """What a study says of itself."""

    source: str = ""
    modalities: tuple[str, ...] = ()
    body_parts: tuple[str, ...] = ()
    description: str = ""
    codes: tuple[Code, ...] = ()


class Passed(NamedTuple):
    line: Line
    why: str


class Decision(NamedTuple):
    """The line that fits first, with what made it fit; the lines before it, each with what did not."""

    line: Line | None
    why: str
    passed: tuple[Passed, ...]


def decide(lines: Iterable[Line], study: Outside) -> Decision:
    """Of two lines with one priority the one that asks for more comes first."""
    passed: list[Passed] = []
    for line in sorted(lines, key=_rank):
        if misfit := why_not(line, study):
            passed.append(Passed(line, misfit))
        else:
            return Decision(line, _why(line), tuple(passed))
    return Decision(None, "No line of the procedure map fits this study.", tuple(passed))


def _rank(line: Line) -> tuple:
    return line.priority, -sum(map(bool, _asked(line))), line.key


def _asked(line: Line) -> tuple[str, ...]:
    return line.source, line.modality, line.body_part, line.words, line.code, line.scheme


def why_not(line: Line, study: Outside) -> str:
    """Say what of a line does not fit, or ""."""
    if outside := scopes.why_outside(line, study):
        return outside
    if line.body_part and not _alike([line.body_part], study.body_parts):
        return f"It asks for {line.body_part}; the study names {_list(study.body_parts) or 'no body part'}."
    if missing := [word for word in line.words.split() if not _alike([word], [study.description])]:
        return f"The description has no “{_list(missing)}”."
    if (line.code or line.scheme) and not any(_is_code(line, code) for code in study.codes):
        return f"It asks for the code {' '.join(filter(None, [line.code, line.scheme]))}; {_codes(study.codes)}."
    return ""


def _alike(asked: Sequence[str], given: Sequence[str]) -> bool:
    """Every word is there: without accents, in any case; the words for one part of the body are one word."""
    have = {CANON.get(word, word) for text in given for word in fold(text)}
    return {CANON.get(word, word) for text in asked for word in fold(text)} <= have


def _is_code(line: Line, code: Code) -> bool:
    value, scheme = code
    return (not line.code or line.code == value) and (not line.scheme or line.scheme.upper() == scheme.upper())


def _why(line: Line) -> str:
    asked = [
        "from this source" if line.source else "",
        line.modality,
        line.body_part,
        f"described as “{line.words}”" if line.words else "",
        f"with the code {' '.join(filter(None, [line.code, line.scheme]))}" if line.code or line.scheme else "",
    ]
    return f"Outside studies {_list(filter(None, asked))}." if any(asked) else "Whatever no other line is for."


def _list(words: Iterable[str]) -> str:
    return ", ".join(words)


def _codes(codes: Sequence[Code]) -> str:
    return f"the study has {_list(' '.join(code).strip() for code in codes)}" if codes else "the study has none"
