"""Orders that messages tell of: where each value stands, what names an order, and when two are one."""

from datetime import UTC, datetime

import pytest

from orders import generation
from orders.models import Identifier, Message, Order
from policies.models import LedgerLine, User
from tests import make
from tests.orders import said

pytestmark = pytest.mark.django_db

ORM = [
    "PV1||O||||||0310^REFER^LINDA^C^Jr^Dr|||||||||||V-19",
    "ORC|NW|P1^RIS|F1^RISF||SC||1^^^202611251430",
    "OBR|1|P1^RIS|F1^RISF|CTCH^CT chest^99LOCAL" + "|" * 14 + "ACC1|RP1|SPS1||||CT",
    "ZDS|1.2.840.1.55^RIS^Application^DICOM",
]
OMI = [
    "PV1||O||||||0310^REFER^LINDA^C^Jr^Dr|||||||||||V-19",
    "ORC|NW|P1^RIS|F1^RISF||SC",
    "TQ1|1||||||202611251430||R",
    "OBR|1|P1^RIS|F1^RISF|CTCH^CT chest^99LOCAL",
    "IPC|ACC1^RISA|RP1^RISA|1.2.840.1.55^RISA|SPS1^RISA|CT",
]


@pytest.mark.parametrize(("kind", "segments", "issuer"), [("ORM^O01", ORM, ""), ("OMI^O23", OMI, "RISA")])
def test_each_value_of_an_order_stands_where_the_standard_has_it(kind, segments, issuer):
    said.tell(said.message(kind, said.pid("MRN1"), *segments))

    order = Order.objects.values().get()
    assert {column: value for column, value in order.items() if column not in {"id", "patient_id", "told"}} == {
        "own_id": None,
        "awaits_number": False,
        "status": "scheduled",
        "origin": "received",
        "accession_number": "ACC1",
        "accession_issuer": issuer,
        "placer_order_number": "P1",
        "placer_issuer": "RIS",
        "filler_order_number": "F1",
        "filler_issuer": "RISF",
        "requested_procedure_id": "RP1",
        "scheduled_procedure_step_id": "SPS1",
        "procedure_code": "CTCH",
        "procedure_scheme": "99LOCAL",
        "description": "CT chest",
        "modality": "CT",
        "body_part": "",
        "scheduled_at": datetime(2026, 11, 25, 14, 30, tzinfo=UTC),
        "referring_physician": "REFER^LINDA^C^Dr^Jr",
        "admission_id": "V-19",
        "study_instance_uid": "1.2.840.1.55",
        "for_import": False,
        "reason": "",
        "seen_at": None,
        "created_by": "HL7 EMR|HOSPITAL",
        "created_at": order["created_at"],
        "changed_at": order["changed_at"],
    }


@pytest.mark.parametrize(
    ("control", "status", "expected"),
    [
        ("NW", "", "scheduled"),
        ("NW", "IP", "in progress"),
        ("XO", "", "scheduled"),
        ("XO", "CM", "completed"),
        ("SC", "IP", "in progress"),
        ("SC", "CM", "completed"),
        ("SC", "CA", "cancelled"),
        ("SC", "ZZ", "scheduled"),
        ("CA", "", "cancelled"),
        ("CA", "SC", "cancelled"),
        ("OC", "", "cancelled"),
        ("DC", "", "cancelled"),
        ("UA", "", "cancelled"),
        ("OK", "", "scheduled"),
        ("SN", "", "scheduled"),
        ("NA", "", "scheduled"),
    ],
)
def test_the_order_control_and_its_status_make_the_state(control, status, expected):
    said.tell(said.order("NW"), said.order(control, status=status, at=1))

    assert Order.objects.get().status == expected


def test_several_orders_in_one_message_are_several():
    said.tell(said.message("OMG^O19", said.pid("MRN1"), "ORC|NW|P1", "OBR|1|P1||A^One", "ORC|NW|P2", "OBR|1|P2||B^Two"))

    assert set(Order.objects.values_list("placer_order_number", "description")) == {("P1", "One"), ("P2", "Two")}
    assert LedgerLine.objects.filter(verb="receive").count() == 2


@pytest.mark.parametrize(
    "segments",
    [
        ["ORC|NW|P1", "RXO|50111^Hydralazine"],
        ["ORC|OP|P1"],
        ["ORC|NW|P1", "OBR|1|P1||HB^Haemoglobin" + "|" * 20 + "HM"],
    ],
)
def test_an_order_that_makes_no_images_is_accepted_and_not_kept(segments):
    assert said.tell(said.message("ORM^O01", said.pid("MRN1"), *segments)) == ["AA"]

    assert (Order.objects.count(), Message.objects.get().outcome) == (0, "ignored")


@pytest.mark.parametrize("column", ["requested_procedure_id", "scheduled_procedure_step_id"])
def test_a_number_of_the_procedure_that_does_not_fit_is_left_out_and_said(column):
    ipc = {"requested_procedure_id": 2, "scheduled_procedure_step_id": 4}[column]
    segment = ["ACC1", "", "", ""]
    segment[ipc - 1] = "X" * 17
    said.tell(said.message("OMI^O23", said.pid("MRN1"), "ORC|NW|P1", f"IPC|{'|'.join(segment)}"))

    assert getattr(Order.objects.get(), column) == "ACC1"
    assert "17 characters" in Message.objects.get().problem


@pytest.mark.parametrize("uid", ["1.2." + "3" * 61, "1.02", "abc"])
def test_a_uid_that_is_none_is_left_out_and_never_shortened(uid):
    said.tell(said.message("ORM^O01", said.pid("MRN1"), "ORC|NW|P1", f"ZDS|{uid}"))

    assert Order.objects.get().study_instance_uid == ""
    assert "Study Instance UID" in Message.objects.get().problem


def test_two_rows_that_a_message_shows_to_be_one_order_are_joined():
    said.tell(said.order("NW", placer="P1^RIS"), said.order("SC", placer="", filler="F1^RIS", status="IP", at=1))
    assert Order.objects.count() == 2
    said.tell(said.order("XO", placer="P1^RIS", filler="F1^RIS", text="CT head", at=2))

    order = Order.objects.get()
    assert (order.status, order.description, order.placer_order_number) == ("in progress", "CT head", "P1")
    assert LedgerLine.objects.filter(verb="join").count() == 1


def test_of_two_rows_the_one_stays_that_a_study_is_mapped_to(data_dir):
    said.tell(said.order("NW", placer="P1^RIS"), said.order("SC", placer="", filler="F1^RIS", accession="A1", at=1))
    mapped = Order.objects.get(accession_number="A1")
    make.study("mapped", to=mapped)
    said.tell(said.order("XO", placer="P1^RIS", filler="F1^RIS", at=2))

    assert Order.objects.get() == mapped


def test_the_same_number_of_another_issuer_is_another_order():
    said.tell(said.order("NW", placer="1^RIS"), said.order("NW", placer="1^LAB", at=1))

    assert Order.objects.count() == 2


def test_an_accession_number_of_another_patients_order_is_refused():
    said.tell(said.order("NW", "MRN1", placer="P1^A", accession="ACC1"))

    assert said.tell(said.order("NW", "MRN2", placer="P1^B", accession="ACC1")) == ["AE"]
    assert "another patient" in Message.objects.latest("received_at").problem


def test_an_order_that_names_another_patient_later_is_theirs():
    said.tell(said.order("NW", "MRN1"), said.order("XO", "MRN2", at=1))

    assert Order.objects.get().patient == Identifier.objects.get(value="MRN2").patient


def test_the_accession_number_of_an_order_that_we_placed_is_filled_in():
    make.sequence()
    patient = make.patient(ids=[("MRN1", "HOSP")])
    ours = generation.generate(patient, procedure=make.procedure(), by=make.user("desk"))
    Order.objects.filter(pk=ours.pk).update(
        awaits_number=True, accession_number="", requested_procedure_id="", placer_order_number="PL778"
    )
    said.tell(said.order("SC", "MRN1", placer="PL778", filler="F9^RIS", accession="ACC5512", status="SC"))

    ours.refresh_from_db()
    assert (ours.accession_number, ours.awaits_number, ours.origin) == ("ACC5512", False, "generated")
    assert (ours.requested_procedure_id, ours.filler_order_number) == ("ACC5512", "F9")


def test_an_order_entered_by_hand_is_found_by_its_accession_number():
    patient = make.patient(ids=[("MRN1", "HOSP")])
    entered = make.order(patient, accession_number="ACC1", accession_issuer="LOCAL")
    said.tell(said.order("SC", "MRN1", accession="ACC1", status="CM"))

    entered.refresh_from_db()
    assert (entered.status, entered.accession_issuer, Order.objects.count()) == ("completed", "LOCAL", 1)


def test_a_status_set_by_hand_stands_against_older_messages(client):
    said.tell(said.order("NW", at=5))
    order = Order.objects.get()
    client.force_login(User.objects.create_superuser("root"))
    form = {name: value for name, value in Order.objects.values().get().items() if isinstance(value, str)}
    form |= {"patient": str(order.patient_id), "status": "cancelled"}
    assert client.post(f"/admin/orders/order/{order.pk}/change/", form).status_code == 302
    said.tell(said.order("SC", status="IP", at=3))

    assert Order.objects.get().status == "cancelled"
