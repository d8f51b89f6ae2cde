"""What each standard role may do: a change here is a change of who may do what."""

import pytest

from policies import authority, roles
from policies.models import Grant, Power, User

pytestmark = pytest.mark.django_db

EFFECTIVE = {
    "Front desk": "stage, view",
    "Reconciliation": "create order, reconcile, stage, view",
    "Releasing officers": ("create order, download, override, recall, reconcile, reject, release, share, view"),
    "Managers": "approve policy, audit, delete, override, set policy, view",
    "Auditors": "audit, view",
    "Administrators": "grant",
}


@pytest.mark.parametrize("role", roles.GRANTS)
def test_the_effective_powers_of_each_role(role):
    user = User.objects.create(username="lee")
    user.groups.add(roles.install()[role])

    assert ", ".join(sorted(one for one in Power.values if not authority.why_not(user, one))) == EFFECTIVE[role]


def test_a_group_that_is_there_keeps_what_managers_gave_it():
    desk = roles.install()["Front desk"]
    desk.grants.all().delete()
    Grant.objects.create(group=desk, power=Power.VIEW, modality="CT")
    roles.install()

    assert [(one.power, one.modality) for one in desk.grants.all()] == [("view", "CT")]
