from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import IntegrityError, connection, transaction

from orders import generation
from orders.models import Order
from policies.models import LedgerLine
from policies.problems import Conflict, Denied, Invalid
from tests import make

pytestmark = pytest.mark.django_db


def test_a_generated_order_has_its_own_accession_number_and_procedure():
    make.sequence()
    order = generation.generate(make.patient(), procedure=make.procedure(), by=make.user("desk"))

    assert order.accession_number == "IMP00000001"
    assert (order.procedure_code, order.for_import, order.origin) == ("OUTCT", True, "generated")
    assert LedgerLine.objects.filter(verb="generate", subject_key=str(order.pk)).count() == 1


def test_generating_an_order_takes_the_power():
    make.sequence()
    with pytest.raises(Denied, match="create reconciliation orders"):
        generation.generate(make.patient(), procedure=make.procedure(), by=make.user("frontdesk"))


def test_without_a_sequence_the_refusal_says_who_can_help():
    with pytest.raises(Conflict, match="A manager can add one"):
        generation.generate(make.patient(), procedure=make.procedure(), by=make.user("desk"))


def test_a_sequence_that_would_pass_sixteen_characters_is_used_up():
    make.sequence(prefix="IMPORTED", digits=8, next=100_000_000)
    with pytest.raises(Conflict, match="used up"):
        generation.generate(make.patient(), procedure=make.procedure(), by=make.user("desk"))


def test_a_patient_without_an_identifier_of_ours_gets_no_order():
    nobody = make.patient()
    nobody.identifiers.all().delete()
    make.sequence()
    with pytest.raises(Invalid, match="Register the patient first"):
        generation.generate(nobody, procedure=make.procedure(), by=make.user("desk"))


def test_the_database_refuses_the_same_accession_number_twice():
    make.order(accession_number="A1", accession_issuer="RIS")
    with pytest.raises(IntegrityError), transaction.atomic():
        make.order(accession_number="A1", accession_issuer="RIS")


@pytest.mark.django_db(transaction=True)
def test_no_accession_number_is_given_twice_to_many_at_once():
    make.sequence()
    patient, procedure, desk = make.patient(), make.procedure(), make.user("desk")

    def one(_):
        try:
            return generation.generate(patient, procedure=procedure, by=desk).accession_number
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(one, range(24)))

    assert len(set(numbers)) == 24 == Order.objects.count()


def test_a_number_entered_by_hand_before_its_turn_is_passed_over():
    make.sequence()
    for number in ("IMP00000001", "IMP00000002"):
        make.order(accession_number=number, accession_issuer="LOCAL")
    order = generation.generate(make.patient(), procedure=make.procedure(), by=make.user("desk"))

    assert order.accession_number == "IMP00000003"
