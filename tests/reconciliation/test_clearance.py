import pytest

from policies.models import LedgerLine, Power
from policies.problems import Conflict, Denied, Invalid
from reconciliation import clearance
from reconciliation.models import Finding
from tests import make

pytestmark = pytest.mark.django_db
DEIDENTIFIED = {"PatientIdentityRemoved": "YES"}


def test_clearing_records_consent_and_the_proposed_rule():
    study, rule = make.study("mapped"), make.rule()
    clearance.clear(study, consent=make.CONSENT, by=make.user("desk"))

    assert (study.state, study.retention, study.consent.given_by) == ("cleared", rule, "The patient")
    assert LedgerLine.objects.filter(subject_key=str(study.pk)).latest("id").detail["retention"] == str(rule)


def test_without_a_rule_nothing_is_cleared():
    with pytest.raises(Invalid, match="No retention rule applies"):
        clearance.clear(make.study("mapped"), consent=make.CONSENT, by=make.user("desk"))


def test_another_rule_needs_someone_who_may_choose_it():
    study, other = make.study("mapped"), make.rule(name="For ever", period="P30Y", priority=999)
    make.rule()
    with pytest.raises(Denied, match="may not override"):
        clearance.clear(study, consent=make.CONSENT, rule=other, rule_reason="Child.", by=make.user("desk"))


def test_another_rule_needs_a_reason_too():
    study, other = make.study("mapped"), make.rule(name="For ever", period="P30Y", priority=999)
    make.rule()
    with pytest.raises(Invalid, match="say why"):
        clearance.clear(study, consent=make.CONSENT, rule=other, by=make.user("releaser"))


def test_an_open_finding_stands_in_the_way_until_it_is_overridden_with_a_reason():
    study = make.study("mapped", **DEIDENTIFIED)
    make.rule()
    code = study.findings.get(severity=Finding.Severity.OVERRIDE).code
    with pytest.raises(Conflict, match="Not yet clear"):
        clearance.clear(study, consent=make.CONSENT, by=make.user("releaser"))

    clearance.clear(study, consent=make.CONSENT, overrides={code: "Seen with the patient."}, by=make.user("releaser"))

    assert study.state == "cleared"
    assert study.findings.get(code=code).override_reason == "Seen with the patient."


def test_a_blocking_finding_cannot_be_overridden():
    study = make.study("mapped")
    make.rule()
    study.findings.create(code="same_uid_other_content", severity="block", sentence="Two contents.")
    with pytest.raises(Invalid, match="can be overridden"):
        clearance.clear(
            study, consent=make.CONSENT, overrides={"same_uid_other_content": "Never mind."}, by=make.user("releaser")
        )


def test_an_override_that_fails_later_leaves_nothing_behind():
    study = make.study("mapped", **DEIDENTIFIED)
    make.rule()
    study.findings.create(code="x", severity="block", sentence="Blocked.")
    code = study.findings.get(severity="override").code
    with pytest.raises(Conflict, match="Blocked"):
        clearance.clear(study, consent=make.CONSENT, overrides={code: "Seen."}, by=make.user("releaser"))

    assert study.findings.get(code=code).overridden_by is None
    assert study.consents.count() == 0


def test_reconciling_alone_does_not_override():
    study = make.study("mapped", **DEIDENTIFIED)
    make.rule()
    lee = make.user("lee", grants=[(Power.RECONCILE, None, None)])
    code = study.findings.get(severity="override").code
    with pytest.raises(Denied):
        clearance.clear(study, consent=make.CONSENT, overrides={code: "Seen."}, by=lee)
