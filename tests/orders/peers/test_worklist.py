"""What a worklist is asked, and what its answers are taken for."""

import warnings
from datetime import date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pynetdicom.dsutils import encode

from orders.dicom.calling import LITTLE_ENDIAN
from orders.peers.found import Identifier
from orders.peers.worklist import KEYS, STEP_KEYS, Query, by_name, identifier, merged, read

EXPLICIT, IMPLICIT = LITTLE_ENDIAN


def answer(**keywords) -> Dataset:
    ds, step = Dataset(), Dataset()
    ds.PatientName, ds.PatientID, ds.AccessionNumber = "Mueller^Anna", "L-1", "A1"
    step.ScheduledProcedureStepStartDate, step.ScheduledProcedureStepStartTime = "20260105", "0930"
    ds.ScheduledProcedureStepSequence = Sequence([step])
    for keyword, value in keywords.items():
        setattr(ds, keyword, value)
    return ds


def raw(ds: Dataset, syntax: str = EXPLICIT) -> bytes:
    return encode(ds, is_implicit_vr=syntax == IMPLICIT, is_little_endian=True)


def test_every_return_key_is_asked_for():
    ds = identifier(Query(patient_id="L-1", issuer="LOCAL"))

    assert {element.keyword for element in ds} >= {*KEYS.split(), "SpecificCharacterSet"}
    assert {element.keyword for element in ds.ScheduledProcedureStepSequence[0]} == set(STEP_KEYS.split())
    assert (ds.PatientID, ds.IssuerOfPatientID, ds.PatientName) == ("L-1", "LOCAL", "")


def test_a_day_and_a_modality_are_matched_in_the_step():
    step = identifier(Query(day=date(2026, 1, 5), modality="CT")).ScheduledProcedureStepSequence[0]

    assert (step.ScheduledProcedureStepStartDate, step.Modality) == ("20260105", "CT")


@pytest.mark.parametrize("syntax", LITTLE_ENDIAN)
def test_an_answer_is_read_in_both_transfer_syntaxes(syntax):
    found = read(raw(answer(), syntax), syntax)

    assert (found.person.name, found.accession.value) == ("Mueller^Anna", "A1")
    assert found.steps[0].at == datetime(2026, 1, 5, 9, 30)


def test_other_patient_ids_and_issuers_are_read():
    other, issuer = Dataset(), Dataset()
    other.PatientID, other.IssuerOfPatientID = "77", "SSN"
    issuer.LocalNamespaceEntityID, issuer.UniversalEntityID, issuer.UniversalEntityIDType = "RIS", "1.2.9", "ISO"
    ds = answer(OtherPatientIDsSequence=Sequence([other]), IssuerOfAccessionNumberSequence=Sequence([issuer]))

    found = read(raw(ds), EXPLICIT)

    assert found.person.identifiers == (Identifier("L-1"), Identifier("77", "SSN"))
    assert found.accession == Identifier("A1", "RIS", "1.2.9", "ISO")


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 100", "Müller^Änne"),
        ("ISO_IR 192", "山田^太郎"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎"),
        (["ISO 2022 IR 6", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞"),
        ("GB18030", "Wang^XiaoDong=王^小东"),
    ],
)
def test_a_name_is_read_in_the_character_set_that_is_declared(charset, name):
    assert read(raw(answer(SpecificCharacterSet=charset, PatientName=name)), EXPLICIT).person.name == name


@pytest.mark.parametrize(
    ("day", "clock", "at"),
    [
        ("20260105", "", datetime(2026, 1, 5)),
        ("20260105", "9999", datetime(2026, 1, 5)),
        ("20260105", "093015.123", datetime(2026, 1, 5, 9, 30, 15)),
        ("20261399", "0930", None),
        ("", "0930", None),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value:UserWarning")
def test_a_wrong_time_is_a_day_or_nothing(day, clock, at):
    ds = answer()
    ds.ScheduledProcedureStepSequence[0].ScheduledProcedureStepStartDate = day
    ds.ScheduledProcedureStepSequence[0].ScheduledProcedureStepStartTime = clock

    assert read(raw(ds), EXPLICIT).steps[0].at == at


def test_no_value_of_an_answer_gets_into_a_warning():
    data = raw(answer(AccessionNumber="A1")).replace(b"20260105", b"SECRET99")
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        read(data, EXPLICIT)

    assert [one for one in heard if "SECRET" in str(one.message)] == []


@pytest.mark.parametrize(("name", "asked"), [("Müller^Anna=x", "Müller^Anna"), ("^", ""), ("A*^B", ""), ("", "")])
def test_a_name_is_asked_for_as_it_stands_or_not_at_all(name, asked):
    assert getattr(by_name(name), "name", "") == asked


def test_answers_of_one_order_are_one():
    first, second = answer(), answer()
    second.ScheduledProcedureStepSequence[0].ScheduledProcedureStepStartTime = "0800"
    found = merged([read(raw(one), EXPLICIT) for one in (first, second)])

    assert [[step.at.hour for step in one.steps] for one in found] == [[8, 9]]


@given(st.binary(max_size=300), st.sampled_from(LITTLE_ENDIAN))
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_no_bytes_stop_the_reading(data, syntax):
    found = read(data, syntax)

    assert found is None or found.person.name


@given(st.integers(0, 200), st.binary(min_size=1, max_size=8))
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_no_damage_to_an_answer_stops_the_reading(place, damage):
    whole = raw(answer())
    place %= len(whole)

    read(whole[:place] + damage + whole[place + len(damage) :], EXPLICIT)
