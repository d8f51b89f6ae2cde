"""What messages say of patients, column by column; and identifiers that two patients are given."""

from datetime import date

import pytest

from orders import queries
from orders.models import Claim, Identifier, Message, Patient
from policies.models import User
from tests import make
from tests.orders import said

pytestmark = pytest.mark.django_db


def patient(value: str = "MRN1") -> Patient:
    return Identifier.objects.get(value=value).patient


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Mueller^Anna^Maria^Jr^Dr", "Mueller^Anna^Maria^Dr^Jr"),
        ("Yamada^Tarou^^^^^L^A~山田^太郎^^^^^L^I~やまだ^たろう^^^^^L^P", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("山田^太郎", "=山田^太郎"),
        ("ヤマダ^タロウ", "==ヤマダ^タロウ"),
        ("Display^Name^^^^^D~Legal^Name^^^^^L", "Legal^Name"),
        ("van der Berg&van der&Berg^Jan", "van der Berg^Jan"),
        (r"O\T\Neil^A\X0D\B=C", "O&Neil^A B C"),
    ],
)
def test_a_name_becomes_a_dicom_name(name, expected):
    said.tell(said.adt("A04", "MRN1", name=name))

    assert patient().name == expected


@pytest.mark.parametrize("name", ["", '""', "^^^^^^S"])
def test_a_name_that_says_nothing_changes_nothing(name):
    said.tell(said.adt("A04", "MRN1"), said.adt("A31", "MRN1", at=1, name=name))

    assert patient().name == "Mueller^Anna"


@pytest.mark.parametrize(
    ("birth_date", "expected"),
    [
        ("19610304", date(1961, 3, 4)),
        ("196103041230", date(1961, 3, 4)),
        ("19610304120000+0100", date(1961, 3, 4)),
        ("1961", None),
        ("196103", None),
        ("19611304", None),
        ("29990101", None),
        ("", None),
    ],
)
def test_a_birth_date_is_a_whole_day_or_not_known(birth_date, expected):
    said.tell(said.adt("A04", "MRN1", birth_date=birth_date))

    assert patient().birth_date == expected


@pytest.mark.parametrize(
    ("sex", "expected"), [("M", "M"), ("f", "F"), ("O", "O"), ("U", ""), ("A", ""), ("N", ""), ("X", "M")]
)
def test_a_sex_is_one_of_dicom(sex, expected):
    said.tell(said.adt("A04", "MRN1", sex="M"), said.adt("A08", "MRN1", at=1, sex=sex))

    assert patient().sex == expected


def test_null_deletes_and_nothing_changes_nothing():
    said.tell(said.adt("A04", "MRN1"), said.adt("A08", "MRN1", at=1, sex="", birth_date='""'))

    assert (patient().sex, patient().birth_date) == ("F", None)


def test_what_could_not_be_kept_is_said():
    said.tell(said.adt("A04", "MRN1", "9" * 65 + "^^^CITY", birth_date="1961", sex="Q"))

    problem = Message.objects.get().problem
    assert "PID-3" in problem
    assert "PID-7" in problem
    assert "PID-8" in problem
    assert [one.value for one in patient().identifiers.all()] == ["MRN1"]


def test_an_order_tells_of_a_patient_only_what_the_patient_feed_has_not():
    said.tell(said.adt("A04", "MRN1", name="Mueller^Anna", birth_date=""), said.order("NW", at=9))
    said.tell(said.message("ORM^O01", said.pid("MRN1", name="Muller^A"), "ORC|XO|P1^RIS", at=10))

    assert (patient().name, patient().birth_date) == ("Mueller^Anna", date(1961, 3, 4))


def test_a_message_that_says_nothing_new_leaves_the_patient_alone():
    said.tell(said.adt("A04", "MRN1"))
    before = patient().changed_at
    said.tell(said.adt("A08", "MRN1", at=1))

    assert patient().changed_at == before


def test_a_patient_entered_by_hand_is_the_one_that_messages_name():
    known = make.patient("Mueller^Anna", ids=[("MRN1", "HOSP")])
    said.tell(said.adt("A08", "MRN1", name="Mueller-Lys^Anna"))

    known.refresh_from_db()
    assert (known.name, Patient.objects.count()) == ("Mueller-Lys^Anna", 1)


def correct(client, one: Patient, **columns) -> None:
    """As in the administration."""
    client.force_login(User.objects.create_superuser("root"))
    identifier = one.identifiers.get()
    form = {"name": one.name, "birth_date": one.birth_date or "", "sex": one.sex}
    form |= {"identifiers-TOTAL_FORMS": 1, "identifiers-INITIAL_FORMS": 1, "identifiers-0-id": identifier.pk}
    form |= {"identifiers-0-patient": str(one.pk), "identifiers-0-value": identifier.value}
    form |= {"identifiers-0-issuer": identifier.issuer, "identifiers-0-primary": "on"}
    assert client.post(f"/admin/orders/patient/{one.pk}/change/", form | columns).status_code == 302


def test_a_correction_by_hand_stands_against_older_messages(client):
    said.tell(said.adt("A04", "MRN1", at=5))
    correct(client, patient(), name="Miller^Anna")
    said.tell(said.adt("A08", "MRN1", at=2, name="Muller^Anna"))

    assert patient().name == "Miller^Anna"


def test_a_correction_by_hand_gives_way_to_a_newer_message(client):
    said.tell(said.adt("A04", "MRN1"))
    correct(client, patient(), name="Miller^Anna")
    said.tell(said.adt("A08", "MRN1", name="Mueller^Anne").replace(b"20261124", b"29991124"))

    assert patient().name == "Mueller^Anne"


# --- shared identifiers ----------------------------------------------------------------------------------------------


def test_an_identifier_stays_with_the_patient_who_had_it_first_and_both_are_doubtful():
    said.tell(said.adt("A04", "MRN1", "55^^^CITY"), said.adt("A04", "MRN2", "55^^^CITY", at=1))

    assert patient("55") == patient("MRN1")
    for one in (patient("MRN1"), patient("MRN2")):
        assert [row.value for row in queries.shared_identifiers(one)] == ["55"]
    assert "another patient's already" in Message.objects.latest("received_at").problem


def test_a_shared_identifier_of_patients_who_are_merged_is_no_doubt():
    said.tell(said.adt("A04", "MRN1", "55^^^CITY"), said.adt("A04", "MRN2", "55^^^CITY", at=1))
    said.tell(said.merge("MRN2", "MRN1", at=2))

    assert queries.shared_identifiers(patient("MRN2")) == []


def test_nobody_is_merged_because_a_message_names_two_patients_numbers():
    said.tell(said.adt("A04", "MRN1"), said.adt("A04", "MRN2"), said.adt("A08", "MRN1", "MRN2", at=1))

    assert patient("MRN1") != patient("MRN2")
    assert Claim.objects.get().patient == patient("MRN1")


def test_a_number_that_names_a_patient_is_not_kept_from_them_by_an_earlier_claim():
    said.tell(said.adt("A04", "MRN1", "MRN2"), said.adt("A04", "MRN2", at=1, name="Someone^Else"))

    assert (patient("MRN2").name, patient("MRN1").name) == ("Someone^Else", "Mueller^Anna")
