"""Merges, links, changed identifiers: what moves, what comes back, and the trail that stays."""

import pytest

from orders import merging
from orders.models import CrossReference, Identifier, Merge, Order, Patient
from policies.models import LedgerLine
from policies.problems import Conflict, Denied
from tests import make
from tests.orders import said

pytestmark = pytest.mark.django_db


def patient(value: str) -> Patient:
    return Identifier.objects.get(value=value).patient


def record(value: str) -> Patient:
    one = Identifier.objects.get(value=value)
    return one.own or one.patient


@pytest.fixture
def merged():
    """MRN1, with an order, an outside identifier and a cross-reference, merged into MRN2."""
    said.tell(said.adt("A04", "MRN1", "9^^^CITY", at=0), said.order("NW", "MRN1", at=1), said.adt("A04", "MRN2", at=1))
    CrossReference.objects.create(
        patient=patient("MRN1"), value="77", issuer="CLINIC", origin="decision", by="Dana", at="2026-11-24T08:00Z"
    )
    said.tell(said.merge("MRN2", "MRN1", at=2))
    return Merge.objects.get()


def test_a_merge_moves_what_the_victim_had_and_keeps_whose_it_was(merged):
    victim, survivor = merged.victim, merged.survivor
    order, link = Order.objects.get(), CrossReference.objects.get()

    assert {one.value for one in survivor.identifiers.all()} == {"MRN1", "MRN2", "9"}
    assert (order.patient, order.own, link.patient, link.own) == (survivor, victim, survivor, victim)
    assert (victim.merged_into, victim.identifiers.count()) == (survivor, 0)


def test_the_survivor_keeps_its_own_number_in_patient_id(merged):
    assert merged.survivor.identifier().value == "MRN2"


def test_a_merge_is_told_to_whoever_watches_for_changes(merged):
    before = dict(Patient.objects.values_list("pk", "changed_at"))
    said.tell(said.two("A37", "MRN1", "MRN2", at=3))

    assert all(at > before[pk] for pk, at in Patient.objects.values_list("pk", "changed_at"))


def test_demographics_of_a_merged_number_never_reach_the_survivor(merged):
    said.tell(said.adt("A08", "MRN1", at=3, name="Someone^Else"))

    assert (record("MRN1").name, merged.survivor.name) == ("Someone^Else", "Mueller^Anna")


def test_a_new_order_for_a_merged_number_is_the_survivors(merged):
    said.tell(said.order("NW", "MRN1", placer="P2^RIS", at=3))

    order = Order.objects.get(placer_order_number="P2")
    assert (order.patient, order.own) == (merged.survivor, merged.victim)


def everything_is_back(merged) -> bool:
    victim = Patient.objects.get(pk=merged.victim_id)
    order, link = Order.objects.get(), CrossReference.objects.exclude(origin="link").get()
    return (
        {one.value for one in victim.identifiers.all()} == {"MRN1", "9"}
        and (order.patient, order.own, link.patient, link.own) == (victim, None, victim, None)
        and victim.merged_into is None
    )


def test_an_unmerge_moves_everything_back(merged):
    said.tell(said.two("A37", "MRN2", "MRN1", at=3))

    merged.refresh_from_db()
    assert everything_is_back(merged)
    assert (merged.undone_at is not None, merged.undone_by.split()[0]) == (True, "ADT^A37")
    assert LedgerLine.objects.filter(verb="unmerge").count() == 1


def test_an_order_that_was_changed_under_the_survivors_number_goes_back_too(merged):
    said.tell(said.order("XO", "MRN2", at=3, text="CT head"), said.two("A37", "MRN2", "MRN1", at=4))

    assert everything_is_back(merged)
    assert Order.objects.get().description == "CT head"


def test_what_the_survivor_got_of_its_own_stays_with_it(merged):
    said.tell(said.order("NW", "MRN2", placer="P2^RIS", at=3), said.two("A37", "MRN2", "MRN1", at=4))

    assert Order.objects.get(placer_order_number="P2").patient == merged.survivor


def test_a_person_undoes_a_merge_with_a_reason_and_a_ledger_line(merged):
    merging.undo(merged, by=make.user("manager"), reason="Two sisters")

    assert everything_is_back(merged)
    line = LedgerLine.objects.get(verb="unmerge")
    assert (line.actor, line.reason, line.subject_key) == ("Manager", "Two sisters", str(merged.victim_id))


def test_a_merge_that_is_undone_is_not_undone_again(merged):
    merging.undo(merged, by=make.user("manager"), reason="Two sisters")

    with pytest.raises(Conflict, match="already"):
        merging.undo(merged, by=make.user("manager"), reason="Two sisters")


def test_undoing_a_merge_takes_the_power(merged):
    with pytest.raises(Denied, match="may not undo"):
        merging.undo(merged, by=make.user("desk"), reason="Two sisters")


def test_undoing_a_merge_takes_a_reason(merged):
    with pytest.raises(Conflict, match="why"):
        merging.undo(merged, by=make.user("manager"), reason=" ")


def test_after_it_was_undone_by_a_person_the_same_message_does_not_merge_again(merged):
    merging.undo(merged, by=make.user("manager"), reason="Two sisters")
    said.tell(said.merge("MRN2", "MRN1", at=2))

    assert everything_is_back(merged)


def test_one_message_may_merge_several_pairs():
    raw = said.message(
        "ADT^A40", said.pid("MRN2"), "MRG|MRN1^^^HOSP", said.pid("MRN4", name="Other^One"), "MRG|MRN3^^^HOSP"
    )
    said.tell(raw)

    assert {(str(one.victim.pk), str(one.survivor.pk)) for one in Merge.objects.all()} == {
        (str(record("MRN1").pk), str(record("MRN2").pk)),
        (str(record("MRN3").pk), str(record("MRN4").pk)),
    }
    assert LedgerLine.objects.filter(verb="merge").count() == 2


def test_a_chain_of_merges_ends_at_the_last_survivor_and_comes_apart_link_by_link():
    said.tell(said.order("NW", "MRN1"), said.merge("MRN2", "MRN1", at=1), said.merge("MRN3", "MRN2", at=2))
    assert Order.objects.get().patient == record("MRN3")

    said.tell(said.two("A37", "MRN3", "MRN2", at=3))
    assert Order.objects.get().patient == record("MRN2")


def test_a_link_moves_nothing_and_is_known_on_both_sides():
    said.tell(said.order("NW", "MRN1"), said.two("A24", "MRN1", "MRN2", at=1))

    assert Order.objects.get().patient == patient("MRN1")
    assert {(one.patient, one.value, one.origin) for one in CrossReference.objects.filter(ended_at=None)} == {
        (patient("MRN1"), "MRN2", "link"),
        (patient("MRN2"), "MRN1", "link"),
    }


def test_the_end_of_a_link_keeps_its_trail():
    said.tell(said.two("A24", "MRN1", "MRN2", at=1), said.two("A37", "MRN1", "MRN2", at=2))

    assert CrossReference.objects.filter(ended_at=None).count() == 0
    assert CrossReference.objects.count() == 2


def test_a_changed_identifier_is_the_same_patient_under_a_new_number():
    said.tell(said.adt("A04", "MRN1"), said.order("NW", "MRN1"))
    known = patient("MRN1")
    said.tell(said.rename("MRN7", "MRN1", at=1))

    assert (patient("MRN7"), patient("MRN1"), Patient.objects.count()) == (known, known, 1)
    assert known.identifier().value == "MRN7"


def test_a_number_that_was_known_already_joins_the_two_rows_of_one_patient():
    said.tell(said.adt("A04", "MRN1"), said.order("NW", "MRN1"), said.adt("A04", "MRN7", at=2))
    said.tell(said.rename("MRN7", "MRN1", at=1))

    assert Patient.objects.count() == 1
    assert Order.objects.get().patient == patient("MRN7")


def test_a_row_that_a_study_is_mapped_to_stays_and_leads_to_the_joined_one(data_dir):
    said.tell(said.adt("A04", "MRN1"), said.order("NW", "MRN1", accession="ACC1"), said.adt("A04", "MRN7", at=2))
    made = make.study("mapped", to=Order.objects.get())
    said.tell(said.rename("MRN7", "MRN1", at=1))

    made.local_patient.refresh_from_db()
    assert made.local_patient.merged_into == patient("MRN7")
    assert Order.objects.get().patient == patient("MRN7")
