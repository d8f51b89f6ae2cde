"""State x verb x role, once: code, REST and browser refuse the same things in the same way."""

import pytest
from django.test import Client
from rest_framework.test import APIClient

from policies.models import Power
from policies.problems import Conflict, Denied
from reconciliation.models import Study
from reconciliation.workflow import MOVES, why_not
from tests import make
from tests.reconciliation.test_workflow import CELLS

pytestmark = pytest.mark.django_db
STATUS = {Denied: 403, Conflict: 409}
ROLES = ("desk", "releaser", "frontdesk", "manager", "auditor")
REFUSED = sorted({(state, verb, role) for state, verb, role, allowed in CELLS if role in ROLES and not allowed})


@pytest.fixture
def bodies():
    """For each verb what REST and the form take, complete, so that nothing but state or authority can be wrong."""
    order, reason, to = make.order(), make.reason(), make.destination()
    make.rule()
    consent = {"basis": "treatment", "evidence": "Referral of today", "scope": ["care"]}
    rest = {
        "map": {"order": str(order.pk), "intent": "read"},
        "clear": {"consent": consent},
        "release": {"destinations": [str(to.pk)]},
        "reject": {"reason": reason.code},
    }
    forms = {
        "map": {"choice": f"order:{order.pk}", "intent": "read"},
        "clear": consent,
        "release": {"to": [str(to.pk)]},
        "reject": {"reason": str(reason.pk)},
    }
    return rest, forms


@pytest.mark.parametrize("state", Study.State.values)
def test_what_the_grid_refuses_is_refused_alike_by_code_rest_and_browser(state, bodies):
    rest, forms = bodies
    study = make.study(state)
    for verb, role in ((verb, role) for at, verb, role in REFUSED if at == state):
        user = make.user(role)
        refusal = why_not(study, verb, user)
        by_rest, by_browser = APIClient(), Client()
        by_rest.force_authenticate(user)
        by_browser.force_login(user)
        api = by_rest.post(f"/api/studies/{study.pk}/{verb}/", rest.get(verb, {}), format="json")
        page = by_browser.post(f"/studies/{study.pk}/{verb}/", forms.get(verb, {}) | {"version": study.version})

        if not MOVES[verb].power:  # no address: only the portal takes this step
            assert (api.status_code, page.status_code) == (404, 404)
            continue
        cell = f"{state} {verb} {role}: {refusal}"
        assert api.status_code == page.status_code == STATUS[type(refusal)], cell
        assert api.json()["detail"] == str(refusal), cell
        assert str(refusal) in page.content.decode().replace("&#x27;", "'"), cell
    assert Study.objects.get(pk=study.pk).state == state


def test_every_step_of_a_person_has_an_address_in_rest_and_browser(bodies):
    study, stranger = make.study(), make.user("lee", grants=[(Power.VIEW, None, None)])
    by_rest, by_browser = APIClient(), Client()
    by_rest.force_authenticate(stranger)
    by_browser.force_login(stranger)
    rest, forms = bodies
    for verb in (verb for verb, step in MOVES.items() if step.power):
        api = by_rest.post(f"/api/studies/{study.pk}/{verb}/", rest.get(verb, {}), format="json")
        page = by_browser.post(f"/studies/{study.pk}/{verb}/", forms.get(verb, {}) | {"version": study.version})
        assert (verb, api.status_code, page.status_code) == (verb, 403, 403)
