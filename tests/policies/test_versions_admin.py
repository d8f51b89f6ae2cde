"""The managers' pages keep versions: why is asked for, drafts wait, old versions come back."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from policies import exchange, versions
from policies.models import Grant, PolicyDraft, PolicyVersion, RetentionRule, SecondPerson, User
from tests import make
from tests.reconciliation.views.browsing import signed_in, text

pytestmark = pytest.mark.django_db
SAID = {"priority": "100", "clock": "received", "outcome": "delete", "active": "on", "why": "The law changed."}


def staff(name: str, **columns):
    User.objects.filter(pk=make.user(name).pk).update(is_staff=True, **columns)
    return make.user(name)


@pytest.fixture
def manager():
    return staff("manager")


@pytest.fixture
def rule(manager):
    rule = make.rule(period="P1Y")
    versions.keep(rule, by=None, why="Test.")
    return rule


def page(rule, name: str = "change") -> str:
    return reverse(f"admin:policies_retentionrule_{name}", args=[rule.pk])


def save(who, rule, **said):
    form = {"name": rule.name, "period": rule.period, **SAID, **said}
    return signed_in(who).post(page(rule), form, follow=True)


def period() -> str:
    return RetentionRule.objects.get().period


def test_a_saved_change_is_a_version_with_who_and_why(rule, manager):
    save(manager, rule, period="P5Y")

    version = versions.newest("policies.retentionrule", rule.pk)
    assert (version.number, version.made_by, version.why) == (2, manager, "The law changed.")
    assert version.columns["period"] == period() == "P5Y"


def test_a_change_without_a_reason_is_not_saved(rule, manager):
    shown = text(save(manager, rule, period="P5Y", why=""))

    assert "This field is required" in shown
    assert period() == "P1Y"


def test_a_new_rule_has_its_first_version(manager):
    form = {"name": "New", "period": "P1Y", **SAID}
    signed_in(manager).post(reverse("admin:policies_retentionrule_add"), form)

    assert PolicyVersion.objects.get(made_by=manager).columns["name"] == "New"


def test_aliases_have_versions_of_their_own(manager):
    authority = make.authority("MRN", "1.2.3")
    versions.adopt(why="Test.")
    alias = authority.aliases.get()
    form = {
        **{"namespace_id": "MRN", "universal_id": "", "universal_id_type": "", "trusted": "on", "why": "Closed."},
        **{"aliases-TOTAL_FORMS": "2", "aliases-INITIAL_FORMS": "1", "aliases-0-id": alias.pk},
        **{"aliases-0-authority": authority.pk, "aliases-0-name": "1.2.3", "aliases-0-DELETE": "on"},
        **{"aliases-1-authority": authority.pk, "aliases-1-name": "OTHER"},
    }
    signed_in(manager).post(reverse("admin:policies_assigningauthority_change", args=[authority.pk]), form)

    rows = PolicyVersion.objects.filter(kind="policies.authorityalias", why="Closed.")
    assert {(row.title, row.columns is None) for row in rows} == {("1.2.3", True), ("OTHER", False)}
    assert versions.strays() == []


def test_grants_that_need_approval_wait_for_it(settings):
    settings.POLICY_APPROVAL = ["grant"]
    root = staff("root", is_superuser=True)
    group = make.user("lee", grants=[("view", None, None)]).groups.get()
    form = {
        **{"name": group.name, "why": "Night shift.", "grants-TOTAL_FORMS": "2", "grants-INITIAL_FORMS": "1"},
        **{"grants-0-id": group.grants.get().pk, "grants-0-group": group.pk, "grants-0-power": "view"},
        **{"grants-1-group": group.pk, "grants-1-power": "release"},
    }
    shown = text(signed_in(root).post(reverse("admin:auth_group_change", args=[group.pk]), form, follow=True))

    assert "a second person has to approve it" in shown
    assert Grant.objects.filter(group=group).count() == 1
    assert PolicyDraft.objects.get().columns["power"] == "release"


def test_a_manager_says_that_a_kind_of_rule_needs_a_second_person_and_then_it_does(rule, manager):
    form = {"power": "set policy", "kind": "retentionrule", "active": "on", **SAID}
    signed_in(manager).post(reverse("admin:policies_secondperson_add"), form)
    assert SecondPerson.objects.get().kind == "retentionrule"
    save(manager, rule, period="P5Y")

    assert RetentionRule.objects.get(pk=rule.pk).period == "P1Y"
    assert PolicyDraft.objects.get().columns["period"] == "P5Y"


def test_no_button_of_django_saves_past_a_second_person(rule, manager):
    SecondPerson.objects.create(power="set policy")
    save(manager, rule, name="Another", period="P5Y", _saveasnew="1")

    assert PolicyDraft.objects.get().state == "submitted"
    assert list(RetentionRule.objects.values_list("period", flat=True)) == ["P1Y"]


def test_a_deletion_is_a_version(rule, manager):
    signed_in(manager).post(page(rule, "delete"), {"post": "yes"})

    assert versions.strays() == []
    assert "deleted" in text(signed_in(manager).get(page(rule, "history")))


def test_a_deletion_that_needs_approval_is_a_draft(rule, manager, settings):
    settings.POLICY_APPROVAL = ["retentionrule"]
    signed_in(manager).post(page(rule, "delete"), {"post": "yes"})

    assert RetentionRule.objects.exists()
    assert PolicyDraft.objects.get().columns is None


def test_the_grants_that_go_with_their_group_have_a_last_version():
    root = User.objects.create_superuser("root")
    lee = make.user("lee", grants=[("view", None, None)])
    versions.adopt(Grant, why="Test.")
    signed_in(root).post(reverse("admin:auth_group_delete", args=[lee.groups.get().pk]), {"post": "yes"})

    assert not Grant.objects.filter(group__name="group of lee").exists()
    assert PolicyVersion.objects.filter(kind="policies.grant", columns__isnull=True, made_by=root).count() == 1
    assert versions.strays() == []


def test_the_history_says_what_changed_and_why(rule, manager):
    save(manager, rule, period="P5Y")
    shown = text(signed_in(manager).get(page(rule, "history")))

    assert "Version 2 · in force" in shown
    assert "“The law changed.”" in shown
    assert "<td>P1Y</td><td>P5Y</td>" in shown


def test_an_old_version_comes_back_as_a_new_one(rule, manager):
    save(manager, rule, period="P5Y")
    signed_in(manager).post(reverse("admin:policies_retentionrule_restore", args=[rule.pk, 1]), {"why": "A mistake."})

    assert period() == "P1Y"
    assert [row.number for row in PolicyVersion.objects.filter(key=rule.pk)] == [3, 2, 1]


def test_a_deleted_rule_comes_back_with_its_key(rule, manager):
    versions.remove(RetentionRule.objects.get(), by=manager)
    signed_in(manager).post(reverse("admin:policies_retentionrule_restore", args=[rule.pk, 1]), {"why": "A mistake."})

    assert RetentionRule.objects.get().pk == rule.pk


def test_auditors_see_the_history_and_restore_nothing(rule, manager):
    save(manager, rule, period="P5Y")
    auditor = signed_in(staff("auditor"))

    assert "Restore" not in text(auditor.get(page(rule, "history")))
    assert auditor.get(page(rule)).status_code == 200
    assert auditor.post(reverse("admin:policies_retentionrule_restore", args=[rule.pk, 1])).status_code == 403


@pytest.mark.parametrize(
    ("said", "state"), [({"draft": "on"}, "draft"), ({"effective_from": "2999-01-01"}, "approved")]
)
def test_a_change_is_kept_for_later(rule, manager, said, state):
    shown = text(save(manager, rule, period="P5Y", **said))

    assert period() == "P1Y"
    assert PolicyDraft.objects.get().state == state
    assert "<td>P1Y</td><td>P5Y</td>" in shown


def test_what_needs_approval_waits_and_says_so(rule, manager, settings):
    settings.POLICY_APPROVAL = ["retentionrule"]
    shown = text(save(manager, rule, period="P5Y"))
    draft = PolicyDraft.objects.get()
    step = reverse("admin:policies_policydraft_step", args=[draft.pk, "approve"])
    signed_in(manager).post(step)

    assert "a second person has to approve it" in shown
    assert period() == "P1Y"

    make.user("second", grants=[("approve policy", None, None)])
    signed_in(staff("second", is_superuser=True)).post(step)
    assert period() == "P5Y"


@pytest.mark.parametrize(
    "said", [{"_rehearse": "1", "_confirmed": "1"}, {"_confirmed": "1"}, {"_saveasnew": "1", "name": "Another"}]
)
def test_no_button_that_a_page_does_not_have_goes_round_the_second_person(rule, manager, settings, said):
    settings.POLICY_APPROVAL = ["retentionrule"]
    save(manager, rule, period="P5Y", **said)

    assert period() == "P1Y"


def test_a_rehearsal_that_is_confirmed_too_saves_nothing(rule, manager):
    save(manager, rule, period="P5Y", _rehearse="1", _confirmed="1")

    assert period() == "P1Y"


def test_a_draft_that_waits_is_shown_on_the_page_of_its_rule(rule, manager):
    save(manager, rule, period="P5Y", draft="on")

    assert "A draft waits" in text(signed_in(manager).get(page(rule)))


def test_the_desk_takes_no_steps(rule, manager):
    save(manager, rule, period="P5Y", draft="on")
    step = reverse("admin:policies_policydraft_step", args=[PolicyDraft.objects.get().pk, "submit"])

    assert signed_in(staff("desk")).post(step).status_code == 403
    assert signed_in(staff("auditor")).post(step).status_code == 302
    assert period() == "P1Y"


EXPORT, IMPORT = "admin:policies_policyversion_export", "admin:policies_policyversion_import"


def sent(who, text: str):
    form = {"file": SimpleUploadedFile("policies.yaml", text.encode()), "why": "Reviewed."}
    return signed_in(who).post(reverse(IMPORT), form)


def test_a_file_is_looked_at_before_it_changes_anything(rule, manager):
    exported = signed_in(manager).get(reverse(EXPORT)).content.decode()
    edited = exported.replace("period: P1Y", "period: P5Y")
    shown = text(sent(manager, edited))

    assert "Changed: retention rule Outside studies" in shown
    assert period() == "P1Y"

    signed_in(manager).post(reverse(IMPORT), {"text": edited, "why": "Reviewed.", "_confirmed": "1"})
    assert period() == "P5Y"


@pytest.mark.parametrize("body", ["sauce: []", "source: ["])
def test_a_file_that_is_not_understood_says_where(rule, manager, body):
    assert "Line 1" in text(sent(manager, body))


def test_nobody_imports_what_they_may_not_change(rule, manager):
    shown = text(sent(manager, "grant: []"))

    assert "Your role may not change this" in shown
    assert Grant.objects.exists()
    assert signed_in(staff("auditor")).get(reverse(IMPORT)).status_code == 403
    assert signed_in(staff("desk")).get(reverse(EXPORT)).status_code == 403


def _scoped(**columns) -> dict:
    return {"source": "", "modality": "", "category": "", "intent": "", "active": "on", **columns}


@pytest.mark.parametrize(
    ("kind", "said", "later"),
    [
        ("organisation", {"name": "City", "kind": "hospital"}, {"name": "City Clinic"}),
        (
            "retentionrule",
            _scoped(name="One", priority=1, period="P1Y", clock="received", outcome="delete"),
            {"period": "P2Y"},
        ),
        (
            "consentrule",
            _scoped(name="One", priority=1, suffices=["patient"], evidence="any"),
            {"suffices": ["patient", "guardian"]},
        ),
        (
            "qualityrule",
            _scoped(code="detector-id", kind="required", attribute="DetectorID", severity="warn"),
            {"severity": "block"},
        ),
        (
            "coercionrule",
            _scoped(name="One", kind="label", attribute="StudyDescription", how="set", text="Outside", priority=1),
            {"text": "Outside images"},
        ),
        ("secondperson", _scoped(power="release", destination=""), {"modality": "CT"}),
    ],
)
def test_every_kind_of_rule_is_saved_as_versions(manager, kind, said, later):
    browser = signed_in(manager)
    added = browser.post(reverse(f"admin:policies_{kind}_add"), {**said, "why": "New."})
    assert added.status_code == 302, text(added)
    (first,) = PolicyVersion.objects.filter(kind=f"policies.{kind}", made_by=manager)

    page = reverse(f"admin:policies_{kind}_change", args=[first.key])
    changed = browser.post(page, {**said, **later, "why": "Reviewed."})
    assert changed.status_code == 302, text(changed)
    second = versions.newest(first.kind, first.key)
    assert (second.number, second.made_by, second.why) == (2, manager, "Reviewed.")
    assert {name: second.columns[name] for name in later} == later
    assert "Version 2" in text(browser.get(reverse(f"admin:policies_{kind}_history", args=[first.key])))


def test_no_change_is_put_in_force_for_a_day_that_is_over(rule, manager):
    assert "This day is over" in text(save(manager, rule, period="P5Y", effective_from="2020-01-01"))
    assert period() == "P1Y"
    assert not PolicyDraft.objects.exists()


def test_a_text_that_is_too_long_is_refused_and_not_cut_by_the_browser(manager):
    browser = signed_in(manager)
    address = reverse("admin:policies_source_add")

    assert 'maxlength="16"' not in browser.get(address).content.decode()
    shown = text(browser.post(address, {"name": "North", "issuer": "NORTH", "ae_title": "NORTHERN_CT_ROOM1"}))
    assert "Please correct the error" in shown


def test_what_keeps_a_file_from_being_imported_is_said_before_it_is_confirmed(rule, manager):
    file = SimpleUploadedFile("policies.yaml", exchange.exported([RetentionRule]).replace("P1Y", "P3X").encode())
    shown = text(signed_in(manager).post(reverse("admin:policies_policyversion_import"), {"file": file, "why": "New."}))

    assert "Write the period like" in shown
    assert "Make 1 change" not in shown
    assert period() == "P1Y"
    assert not PolicyDraft.objects.exists()
