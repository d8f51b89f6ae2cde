"""The Native DICOM Model (PS3.19 A.1), as archives answer that know no JSON: read into what the JSON model would say.

What an archive answers is no more to be trusted than anything from outside: no document type, no entities, few levels.
"""

from __future__ import annotations

from xml.parsers import expat

DEEPEST = 16  # sequences within sequences; answers to a storage request have one


def read(body: bytes) -> dict[str, dict]:
    """Tag to {"vr", "Value"}, as in PS3.18 F.2, but texts throughout. Raises ValueError for what is not this."""
    reader = _Reader()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartDoctypeDeclHandler = reader.refuse
    parser.StartElementHandler, parser.EndElementHandler = reader.start, reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(body, True)
    except expat.ExpatError as problem:
        raise ValueError("not XML") from problem
    if not reader.is_native:
        raise ValueError("not the Native DICOM Model")
    return reader.data_set


class _Reader:
    def __init__(self) -> None:
        self.data_set: dict[str, dict] = {}
        self.levels = [self.data_set]  # data sets that are open, the innermost last
        self.attributes: list[dict] = []
        self.value: list[str] | None = None
        self.is_native = False

    def refuse(self, *_) -> None:
        raise ValueError("a document type")

    def start(self, name: str, said: dict[str, str]) -> None:
        kind = name.rpartition(" ")[2]
        if kind == "NativeDicomModel":
            self.is_native = True
        elif kind == "DicomAttribute":
            self.attributes.append({"vr": said.get("vr", ""), "Value": []})
            self.levels[-1][said.get("tag", "").upper()] = self.attributes[-1]
        elif kind == "Item" and self.attributes:
            if len(self.levels) > DEEPEST:
                raise ValueError("too many levels")
            self.levels.append({})
            self.attributes[-1]["Value"].append(self.levels[-1])
        elif kind == "Value":
            self.value = []

    def text(self, piece: str) -> None:
        if self.value is not None:
            self.value.append(piece)

    def end(self, name: str) -> None:
        kind = name.rpartition(" ")[2]
        if kind == "DicomAttribute":
            self.attributes.pop()
        elif kind == "Item" and len(self.levels) > 1:
            self.levels.pop()
        elif kind == "Value" and self.value is not None and self.attributes:
            self.attributes[-1]["Value"].append("".join(self.value).strip())
            self.value = None
