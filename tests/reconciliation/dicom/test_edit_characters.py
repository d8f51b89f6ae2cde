"""Local and kept foreign text both survive, whatever character set the object came with."""

import subprocess
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from reconciliation.dicom import reread
from tests.reconciliation.dicom.edits import (
    INSIDE_PYDICOM,
    PROGRAMS,
    checked,
    ct,
    item,
    made,
    nested,
    old_values,
    plan,
    saved,
)

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, of defects that the files have on purpose

LOCAL_NAMES = {
    "ASCII": "Muster^Maria",
    "Latin 1": "Müller^Jürgen",
    "Latin 2": "Łukasz^Świątek",
    "Greek": "Διονυσιος^Γεωργιος",
    "Cyrillic": "Ионов^Пётр",
    "Arabic": "قباني^لنزار",
    "Hebrew": "שרון^דבורה",
    "Thai": "นามสกุล^ชื่อ",
    "Japanese": "Yamada^Tarou=山田^太郎=やまだ^たろう",
    "half-width katakana": "ﾔﾏﾀﾞ^ﾀﾛｳ",
    "Korean": "Hong^Gildong=洪^吉洞=홍^길동",
    "Chinese": "Wang^XiaoDong=王^小东",
    "traditional Chinese": "Wang^XiaoDong=王^小東",
    "ligatures": "§^ß",
}
FOREIGN = {  # what an object may declare, and a text in it that goes to and fro
    "ISO_IR 100": "Schädel à côté",
    "ISO_IR 101": "Głowa, żuchwa",
    "ISO_IR 109": "Ĉirkaŭ",
    "ISO_IR 110": "Ģimene ķermenis",
    "ISO_IR 148": "Başağrısı",
    "ISO_IR 126": "Κρανίο",
    "ISO_IR 144": "Череп",
    "ISO_IR 127": "جمجمة",
    "ISO_IR 138": "גולגולת",
    "ISO_IR 166": "กะโหลก",
    "ISO_IR 13": "ｱﾀﾏ",
    "ISO_IR 192": "頭 Череп Schädel",
    "GB18030": "头部东丂",
    "GBK": "头部東",
    "\\ISO 2022 IR 87": "頭部単純",
    "\\ISO 2022 IR 159": "丂侄",
    "ISO 2022 IR 13\\ISO 2022 IR 87": "ｱﾀﾏ頭部",
    "\\ISO 2022 IR 87\\ISO 2022 IR 159": "頭部丂",
    "\\ISO 2022 IR 149": "두개골 X-ray",
    "\\ISO 2022 IR 58": "头部",
    "ISO 2022 IR 6\\ISO 2022 IR 100\\ISO 2022 IR 126": "Schädel Κρανίο",
    "ISO 2022 IR 100\\ISO 2022 IR 144": "Череп",
}


def foreign(declared: str, folder: Path) -> Path:
    """Text at the top, in sequences, and in a private block."""
    text = FOREIGN[declared]
    if declared.endswith("IR 58"):
        text = b"\x1b$)A" + text.encode("gb2312")  # pydicom reads the escape sequence, and does not write it
    ds = nested(SpecificCharacterSet=declared.split("\\"), PatientName=text, StudyDescription=text)
    ds.ScheduledStepAttributesSequence = [
        item(StudyDescription=text, RequestAttributesSequence=[item(PatientComments=text)])
    ]
    ds.private_block(0x0043, "OURS").add_new(2, "LO", text)
    return saved(ds, folder / "a.dcm")


@pytest.mark.parametrize("script", LOCAL_NAMES)
@pytest.mark.parametrize("declared", FOREIGN)
def test_local_and_foreign_text_both_survive(declared, script, tmp_path):
    original, text = foreign(declared, tmp_path), FOREIGN[declared]
    assert text_in(dcmread(original).StudyDescription) == text

    ds = checked(original, plan(LOCAL_NAMES[script]), tmp_path)

    scheduled = ds.ScheduledStepAttributesSequence[0]
    inner = [scheduled.StudyDescription, scheduled.RequestAttributesSequence[0].PatientComments]
    private = ds.private_block(0x0043, "OURS")[2].value
    kept = [ds.StudyDescription, private, *inner, old_values(ds).get("PatientName", text)]
    assert ds.PatientName == LOCAL_NAMES[script]
    assert [*map(text_in, kept)] == [text] * 5


def text_in(value) -> str:
    return str(value).replace("\x1b$)A", "")  # pydicom leaves it there


@pytest.mark.skipif(not PROGRAMS["dcmdump"] or not PROGRAMS["dcmodify"], reason="DCMTK is not installed")
@pytest.mark.parametrize("script", ["Latin 1", "Greek", "Japanese", "Korean"])
def test_dcmtk_reads_the_same_letters(script, tmp_path):
    """But for the sets that Debian's build cannot convert, and but for the old values: it converts no part of an
    object whose items name character sets of their own."""
    name, read = LOCAL_NAMES[script], []

    for declared, text in FOREIGN.items():
        target = made(foreign(declared, tmp_path), plan(name), tmp_path)
        subprocess.run([PROGRAMS["dcmodify"], "-nb", "-ea", "(0400,0561)", target], **QUIET)
        done = subprocess.run([PROGRAMS["dcmdump"], "+U8", "+P", "0010,0010", "+P", "0008,1030", target], **QUIET)
        if done.returncode == 0:
            shown = done.stdout.decode().replace(" ]", "]")
            read.append(f"[{name}]" in shown and f"[{text}]" in shown)

    assert all(read)
    assert len(read) > 10


QUIET = {"capture_output": True, "check": False, "timeout": 30}
CHARSET_FILES = sorted(path.name for path in INSIDE_PYDICOM.glob("charset_files/*.dcm"))


@pytest.mark.parametrize("file", [name for name in CHARSET_FILES if name != "chrFrenMulti.dcm"])
def test_no_name_is_ever_written_with_question_marks(file, tmp_path):
    original = INSIDE_PYDICOM / "charset_files" / file

    for name in LOCAL_NAMES.values():
        ds = checked(original, plan(name), tmp_path)

        assert ds.PatientName == name
        assert old_values(ds).get("PatientName", name) == dcmread(original).get("PatientName", "")
        assert kept_text(ds) == kept_text(dcmread(original))


def kept_text(ds) -> dict:
    """What no plan of these tests names."""
    planned = {change.path for change in plan()} | {"SpecificCharacterSet"}
    return {
        each.keyword: each.value
        for each in ds
        if each.keyword not in planned and each.VR in ("LO", "SH", "PN", "LT", "SQ", "ST", "UT")
    }


def test_a_name_that_fits_leaves_the_character_set_alone(tmp_path):
    original = saved(ct(SpecificCharacterSet="ISO_IR 100", PatientName="Böhm^Åsa"), tmp_path / "a.dcm")

    ds = checked(original, plan("Müller^Jürgen"), tmp_path)

    assert (ds.SpecificCharacterSet, ds.PatientName) == ("ISO_IR 100", "Müller^Jürgen")
    assert old_values(ds).PatientName == "Böhm^Åsa"
    assert "SpecificCharacterSet" not in old_values(ds)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_a_name_that_does_not_fit_moves_all_text_at_all_depths_to_utf8(syntax, tmp_path):
    ds = nested(SpecificCharacterSet="ISO_IR 100", PatientName="Böhm^Åsa", StudyDescription="Schädel")
    ds.ReferencedStudySequence = [item(StudyDescription="weg")]
    ds.RequestingService, ds.ScheduledStepAttributesSequence = "Häusl", [item(StudyDescription="Füße")]
    original = saved(ds, tmp_path / "a.dcm", syntax)

    made_ds = checked(original, plan("Łukasz^Świątek"), tmp_path)

    assert (made_ds.SpecificCharacterSet, made_ds.PatientName) == ("ISO_IR 192", "Łukasz^Świątek")
    assert (made_ds.StudyDescription, made_ds.ScheduledStepAttributesSequence[0].StudyDescription) == (
        "Schädel",
        "Füße",
    )
    assert "Schädel".encode() in (tmp_path / "made.dcm").read_bytes()
    assert (old_values(made_ds).SpecificCharacterSet, old_values(made_ds).PatientName) == ("ISO_IR 100", "Böhm^Åsa")
    assert made_ds.PixelData == ds.PixelData


def test_an_undeclared_character_set_is_ascii_and_never_silently_latin(tmp_path):
    ds = ct()
    del ds.SpecificCharacterSet
    original = saved(ds, tmp_path / "a.dcm")

    made_ds = checked(original, plan("Müller^Jürgen"), tmp_path)

    assert (made_ds.SpecificCharacterSet, made_ds.PatientName) == ("ISO_IR 192", "Müller^Jürgen")
    assert old_values(made_ds)["SpecificCharacterSet"].is_empty


def undeclared(description: bytes, folder: Path) -> Path:
    ds = ct(StudyDescription="#" * len(description), PatientName="B#hm")
    del ds.SpecificCharacterSet
    original = saved(ds, folder / "a.dcm")
    whole = original.read_bytes().replace(b"#" * len(description), description)
    original.write_bytes(whole.replace(b"B#hm", b"B\xf6hm"))
    return original


def test_undeclared_bytes_are_kept_raw_where_the_local_values_need_no_letters(tmp_path):
    original = undeclared(b"Sch\xe4del", tmp_path)

    whole = made(original, plan(), tmp_path).read_bytes()

    assert whole.count(b"Sch\xe4del") == 1
    assert whole.count(b"B\xf6hm") == 1  # in Original Attributes
    assert reread.differences(original, tmp_path / "made.dcm", plan()) == []


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (b"Sch\xe4del  ", "Schädel"),
        ("Schädel".encode(), "Schädel"),
        (b"\x1b$B;3ED\x1b(B", "山田"),
    ],
)
def test_undeclared_text_is_read_as_the_desk_read_it_and_its_bytes_are_kept(written, read, tmp_path):
    original = undeclared(written, tmp_path)

    ds = checked(original, plan("Müller^Jürgen"), tmp_path)

    assert (ds.PatientName, ds.StudyDescription) == ("Müller^Jürgen", read)
    assert old_values(ds)["SpecificCharacterSet"].is_empty
    assert (tmp_path / "made.dcm").read_bytes().count(written) == 1  # where it was, or among the old values
