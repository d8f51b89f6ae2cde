"""Names that are scripts (T7): every page, the administration's too, shows them as what they are, and runs none."""

import pytest
from django.contrib import admin
from django.urls import NoReverseMatch, reverse

from orders.models import Patient
from policies.models import User
from tests import make

pytestmark = pytest.mark.django_db(transaction=True)
SCRIPT = "<script>alert(1)</script>"
NAMES = [SCRIPT, '"onfocus="alert(2)" autofocus="', "<img src=x onerror=alert(3)>", "{{7*7}}javascript:alert(4)"]


@pytest.fixture
def study():
    """A study, patient, order, partners and people all of whose texts mean harm."""
    source = make.source(SCRIPT, ae_title="SENDER", issuer=NAMES[2])
    texts = {"PatientName": NAMES[2], "PatientID": NAMES[1], "AccessionNumber": NAMES[3][:16]}
    ours = make.patient(NAMES[1], ids=[(NAMES[0], NAMES[2])])
    make.order(ours, description=NAMES[2], accession_number=NAMES[0][:16])
    make.destination(NAMES[1])
    make.rule(name=NAMES[2])
    make.reason(code="x").__class__.objects.update(sentence=NAMES[0])
    return make.study("held", of=source, StudyDescription=SCRIPT, **texts)


@pytest.fixture
def root() -> User:
    make.user("releaser")
    user = make.user("releaser", group="Auditors")
    user.first_name, user.last_name, user.is_staff, user.is_superuser = NAMES[0], NAMES[2], True, True
    user.save()
    return user


def pages_of_the_administration() -> list[str]:
    found = [reverse("admin:index")]
    for model in admin.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        first = model._default_manager.first()
        one = [first and first.pk]
        for page, args in [("changelist", []), ("add", []), ("change", one), ("history", one)]:
            try:
                found += [reverse(f"{name}_{page}", args=args)] if None not in args else []
            except NoReverseMatch:
                continue
    return found


def seen(page, where: str) -> None:
    """The page is there, no name has become an element, and the browser has complained of nothing (see conftest)."""
    assert page.goto(where).status in {200, 403}, where
    assert page.locator("img[src=x], [onfocus], [onerror]").count() == 0, where
    assert "49javascript" not in page.content(), where


def test_no_page_of_the_desk_runs_a_name(page, study, root, sign_in):
    sign_in(page, root)
    patient = Patient.objects.get()
    for where in [
        *("/", "/submissions/", "/unreadable/", "/ledger/", "/account/second-factor/", "/account/sessions/"),
        *(f"/studies/{study.pk}/", f"/studies/{study.pk}/?choice=patient:{patient.pk}"),
    ]:
        seen(page, where)


def test_no_page_of_the_administration_runs_a_name(page, study, root, sign_in, complaints):
    complaints.expect("403")  # pages that are only looked at have no form to add
    sign_in(page, root)
    for where in pages_of_the_administration():
        seen(page, where)
