"""What policy asks of a consent is asked when it is recorded and at the gate; what is withdrawn goes no further."""

from datetime import date, timedelta

import pytest
from django.utils import timezone

from policies import consent as policy
from policies.models import LedgerLine, Power
from policies.problems import Conflict, Denied, Invalid
from reconciliation import clearance, consents, delivery, gate, release, withdrawal
from reconciliation.clearance import Given
from reconciliation.models import Consent, Delivery, Study
from tests import make

pytestmark = pytest.mark.django_db
TREATMENT = Given("treatment", "Referral of today")
GUARDIAN = Given("guardian", "Form 9", given_by="Eva M.", relation="Mother")


def cleared(study, consent, by="desk"):
    make.rule()
    clearance.clear(study, consent=consent, by=make.user(by))
    return Study.objects.get(pk=study.pk)


def a_child():
    born = timezone.localdate().replace(day=1) - timedelta(days=365 * 9)
    patient = make.patient(birth_date=born)
    return make.study("mapped", to=make.order(patient), PatientBirthDate=f"{born:%Y%m%d}")


def test_without_a_rule_every_basis_with_its_evidence_clears():
    assert cleared(make.study("mapped"), TREATMENT).consent.by_rule == ""


def test_the_rule_that_was_content_is_kept_with_the_consent():
    policy.install()

    assert cleared(make.study("mapped"), TREATMENT).consent.by_rule == "Care"


def test_a_basis_that_does_not_suffice_for_each_purpose_is_refused():
    policy.install()
    with pytest.raises(Invalid, match="'Teaching and research' this is not enough for teaching"):
        cleared(make.study("mapped"), TREATMENT._replace(scope=("care", "teaching")))


def test_a_childs_own_consent_does_not_suffice_where_policy_says_so():
    policy.install()
    study = a_child()
    with pytest.raises(Invalid, match="'Care of minors'"):
        cleared(study, make.CONSENT)

    assert cleared(study, GUARDIAN).consent.relation == "Mother"


def test_a_consent_is_kept_no_longer_than_its_rule_lets_it():
    make.consent_rule(period="P10D")
    given_on = timezone.localdate() - timedelta(days=3)
    given = make.CONSENT._replace(given_on=given_on, until=date(9999, 1, 1))

    assert cleared(make.study("mapped"), given).consent.until == given_on + timedelta(days=10)


def test_what_needs_no_consent_is_recorded_as_that():
    make.consent_rule(suffices=["none needed"])
    study = cleared(make.study("mapped"), Given("none needed"))

    assert (study.state, study.consent.basis) == ("cleared", "none needed")


# --- the gate --------------------------------------------------------------------------------------------------------


def test_the_gate_asks_the_rules_of_today():
    study = make.study("cleared")
    make.consent_rule("Stricter", suffices=["guardian"])

    assert "does not suffice any more. By rule 'Stricter'" in gate.why_shut(study)


def test_a_rule_whose_period_was_shortened_ends_a_consent_of_before():
    study = make.study("cleared")
    Consent.objects.update(given_on=timezone.localdate() - timedelta(days=40))
    make.consent_rule(period="P30D")

    assert "The consent ended on" in gate.why_shut(Study.objects.get(pk=study.pk))


def test_what_is_handed_out_needs_more_than_what_stays():
    policy.install()
    study, officer = cleared(make.study("mapped"), TREATMENT), make.user("releaser")
    other = make.destination("City Clinic PACS", outside=True)
    with pytest.raises(Conflict, match="Not to City Clinic PACS: By rule 'Handed out'"):
        release.release(study, to=[other], by=officer)

    release.release(study, to=[make.destination()], by=officer)
    assert study.state == "released"


def test_a_rule_for_one_destination_is_asked_there_only():
    here, there = make.destination(), make.destination("Research PACS")
    make.consent_rule("Research archive", suffices=["guardian"], destination=there)
    study = make.study("cleared")

    assert consents.why_not(study, destination=here) == ""
    assert "Research archive" in consents.why_not(study, destination=there)


# --- withdrawal ------------------------------------------------------------------------------------------------------


def withdrawn(study, by="desk"):
    withdrawal.withdraw(study.consent, by=make.user(by), reason="Changed her mind", given_by="Anna M.")
    return Study.objects.get(pk=study.pk)


def test_a_withdrawal_is_recorded_with_who_when_and_why():
    study = make.study("released")
    consent = withdrawn(study).consent

    assert (consent.withdrawn_by.username, consent.withdrawn_said_by) == ("desk", "Anna M.")
    assert LedgerLine.objects.get(verb="withdraw consent").reason == "Changed her mind"


def test_a_cleared_study_whose_consent_is_withdrawn_is_held_again():
    study = withdrawn(make.study("cleared"))

    assert (study.state, study.consent, study.mapping) == ("held", None, None)


def test_a_delivery_that_has_not_begun_waits_with_a_sentence():
    study = withdrawn(make.study("released"))
    one = study.deliveries.get()

    assert delivery.claim(one.pk) is None
    assert delivery.due() == []
    assert "The consent was withdrawn on" in delivery.why_waiting(one)
    with pytest.raises(Conflict, match="withdrawn"):
        delivery.retry(one, by=make.user("releaser"))


@pytest.mark.parametrize(("state", "waits"), [("queued", True), ("sent", False), ("refused", False)])
def test_nothing_is_sent_again_once_the_consent_is_withdrawn(state, waits):
    study = withdrawn(make.study("released"))
    study.deliveries.update(state=state, sent_at=timezone.now())
    one = study.deliveries.get()

    assert bool(delivery.why_waiting(one)) == waits
    assert "nothing more is sent" in delivery.why_not_retry(one, make.user("releaser"))


def test_a_delivery_whose_consent_stands_is_not_held_up_by_anothers():
    withdrawn(make.study("released"))
    other = make.study("released")

    assert delivery.claim(other.deliveries.get().pk)


def test_what_has_gone_out_is_listed_with_where_when_and_how_much():
    study = make.study("delivered")
    one = Delivery.objects.get()
    at = timezone.now()
    one.instances.create(instance_id=make.first_instance(study), sop_instance_uid="1.2", accepted=True, at=at)
    (gone,) = consents.gone_out(withdrawn(study).consent, Study.objects.all())

    assert (str(gone.destination), gone.sent, gone.last) == ("PACS", 1, at)
    detail = LedgerLine.objects.get(verb="withdraw consent").detail
    assert detail["gone_out"] == [{"destination": "PACS", "objects": 1}]


def test_withdrawal_stops_every_study_that_rests_on_the_consent():
    first = make.study("cleared")
    second = make.study("mapped", to=make.order(first.local_patient))
    second = cleared(second, first.consent, by="releaser")
    withdrawn(second)

    assert set(Study.objects.values_list("state", flat=True)) == {"held"}


def test_a_new_consent_lets_a_released_study_go_on():
    study = make.study("released")
    (waits,) = study.deliveries.all()
    withdrawal.withdraw(study.consent, by=make.user("desk"), given_by="Anna M.", reason="Changed her mind")
    assert delivery.due() == []
    clearance.renew(study, consent=make.CONSENT, by=make.user("desk"))

    assert delivery.due() == [waits]
    assert (consents.why_not(study), study.state) == ("", "released")
    line = LedgerLine.objects.latest("id")
    assert (line.verb, line.detail["instead of"]) == ("consent", str(Consent.objects.earliest("pk").key))


@pytest.mark.parametrize("state", ["held", "mapped", "cleared", "released", "delivered", "rejected"])
def test_a_new_consent_is_for_released_studies_whose_consent_is_over(state):
    study = make.study(state)

    with pytest.raises(Conflict):
        clearance.renew(study, consent=make.CONSENT, by=make.user("desk"))


def test_a_new_consent_must_suffice_and_is_recorded_by_who_may():
    study = make.study("delivered")
    withdrawal.withdraw(study.consent, by=make.user("desk"), given_by="Anna M.", reason="Changed her mind")
    make.consent_rule(suffices=["duty"])

    with pytest.raises(Invalid):
        clearance.renew(study, consent=make.CONSENT, by=make.user("desk"))
    with pytest.raises(Denied):
        clearance.renew(study, consent=make.CONSENT, by=make.user("auditor"))


def test_a_consent_is_withdrawn_once():
    study = make.study("released")
    withdrawn(study)
    with pytest.raises(Conflict, match="withdrawn before"):
        withdrawn(study)


@pytest.mark.parametrize("said", [{"reason": " "}, {"given_by": ""}])
def test_a_withdrawal_says_who_and_why(said):
    with pytest.raises(Invalid, match="Say"):
        withdrawal.withdraw(
            make.study("released").consent, by=make.user("desk"), **{"reason": "x", "given_by": "y"} | said
        )


def test_who_may_not_reconcile_does_not_withdraw():
    lee = make.user("lee", grants=[(Power.VIEW, None, None)])
    with pytest.raises(Denied):
        withdrawal.withdraw(make.study("released").consent, by=lee, reason="x", given_by="y")


# --- once more -------------------------------------------------------------------------------------------------------


def again(**changed):
    """A second study of the patient whose first one is cleared."""
    first = make.study("cleared")
    Consent.objects.update(**changed)
    return first, make.study("mapped", to=make.order(first.local_patient))


def test_a_consent_of_the_same_patient_and_source_carries_another_study():
    first, second = again()
    assert consents.reusable(second, Study.objects.all()) == [first.consent]

    second = cleared(second, first.consent, by="releaser")
    assert (second.state, second.consent) == ("cleared", first.consent)
    assert LedgerLine.objects.filter(verb="clear").latest("id").detail["given_for"] == str(first.pk)


@pytest.mark.parametrize("changed", [{"basis": "treatment"}, {"until": date(2020, 1, 1)}])
def test_what_was_no_consent_or_is_over_is_not_taken_again(changed):
    _first, second = again(**changed)

    assert consents.reusable(second, Study.objects.all()) == []
    with pytest.raises(Conflict):
        cleared(second, Consent.objects.get(), by="releaser")


def test_a_consent_of_another_source_or_patient_is_not_taken():
    first = make.study("cleared")
    elsewhere = make.study("mapped", of=make.source("City Clinic"), to=make.order(first.local_patient))
    another = make.study("mapped", PatientID="OUT-1", PatientName="Novak^Eva", to=make.order(make.patient("Novak^Eva")))

    assert consents.reusable(elsewhere, Study.objects.all()) == []
    assert consents.reusable(another, Study.objects.all()) == []


def test_a_consent_of_a_study_that_one_may_not_see_is_not_offered():
    _first, second = again()

    assert consents.reusable(second, Study.objects.none()) == []
