"""The standard roles: groups with the grants and the pages of the administration that each one needs to begin with."""

from django.contrib.auth.models import Group, Permission
from django.db import transaction

from policies import versions
from policies.models import Grant, Power

GRANTS = {
    "Front desk": [Power.STAGE, Power.VIEW],
    "Reconciliation": [Power.STAGE, Power.VIEW, Power.RECONCILE, Power.ORDER],
    "Releasing officers": [
        *(Power.VIEW, Power.RECONCILE, Power.ORDER, Power.OVERRIDE, Power.RELEASE, Power.REJECT),
        *(Power.SHARE, Power.DOWNLOAD, Power.RECALL),
    ],
    "Managers": [
        *(Power.VIEW, Power.OVERRIDE, Power.AUDIT, Power.SET_POLICY, Power.APPROVE_POLICY, Power.DELETE),
    ],
    "Auditors": [Power.VIEW, Power.AUDIT],
    "Administrators": [Power.GRANT],
}

# What managers may edit in the administration; auditors may look at the same pages.
MANAGED = {
    "policies": [
        *("organisation", "source", "sourcesystem", "stowclient", "destination"),
        *("procedure", "procedurerule", "retentionrule", "consentrule", "qualityrule", "coercionrule", "reason"),
        *("assigningauthority", "authorityalias", "matchingpolicy", "matchingweight", "secondperson"),
        *("policydraft", "policyversion"),
    ],
    "orders": [
        *("patient", "identifier", "order", "accessionsequence", "ordersystem", "notice"),
        *("worklist", "demographicssource"),
        *("feed", "message", "merge", "crossreference", "claim"),
    ],
}


@transaction.atomic
def install() -> dict[str, Group]:
    """Make the standard groups; a group that is there already keeps the grants that managers gave it."""
    groups = {}
    for name, powers in GRANTS.items():
        group, created = Group.objects.get_or_create(name=name)
        if created:
            Grant.objects.bulk_create(Grant(group=group, power=power) for power in powers)
        groups[name] = group
    versions.adopt(Grant, why="A standard role.")
    # Who may do what is the administrator's to say: managers see the grants, and cannot widen their own.
    grants = Permission.objects.filter(content_type__app_label="policies", codename="view_grant")
    groups["Managers"].permissions.set([*_permissions("add", "change", "view", "delete"), *grants])
    groups["Auditors"].permissions.set(_permissions("view"))
    # The page of grants asks for the power to grant, and grant by grant what is theirs to give: no permission here.
    return groups


def _permissions(*actions: str) -> list[Permission]:
    codes = [(app, f"{action}_{model}") for app, models in MANAGED.items() for model in models for action in actions]
    found = Permission.objects.filter(content_type__app_label__in=MANAGED).select_related("content_type")
    return [one for one in found if (one.content_type.app_label, one.codename) in codes]
