"""The administration, put together by topic: what a manager is about to do, not which application keeps it."""

from django.contrib import admin
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from reconciliation import topics, tryout, whatif

# By topic, every page and what it is for. A test asks for a line of each; one without would stand at the end.
TOPICS = {
    _("Partners"): {
        "policies.organisation": _(
            "Hospitals, practices and companies that we exchange images with; whom to ask there"
        ),
        "policies.source": _("Who may send: the senders of each partner, and what their studies are"),
        "policies.destination": _("Where released studies go, and what proves that they are there. With a test"),
        "policies.assigningauthority": _("Who issues patient IDs, and under which other names they arrive"),
    },
    _("Who may do what"): {
        "policies.user": _("People, and the groups they belong to"),
        "auth.group": _("Roles: groups of people with the same grants"),
        "policies.grant": _("Which group may do what, to studies of which source, toward which destination"),
        "policies.secondperson": _("Where two must agree: releases, overrides, deletions, changes of rules"),
        "usersessions.usersession": _("Who is signed in where"),
        "mfa.authenticator": _("Second factors of sign-in"),
        "socialaccount.socialaccount": _("Accounts of the hospital's sign-in that belong to people here"),
    },
    _("Consent"): {"policies.consentrule": _("Which basis suffices for which use, with what evidence, for how long")},
    _("Retention"): {"policies.retentionrule": _("How long a study is kept; the first rule that fits is proposed")},
    _("Quality"): {
        "policies.qualityrule": _("What is asked of the record of a study, how grave it is, and what follows"),
        "policies.reason": _("Why a study may be rejected; each reason means one thing"),
    },
    _("Mapping and matching"): {
        "policies.matchingpolicy": _("Whether studies of a source may be matched without a person"),
        "policies.procedurerule": _("Under which of our procedures an outside study is imported"),
        "policies.coercionrule": _("What is written into objects besides what RAD-61 demands"),
        "policies.procedure": _("The procedures that reconciliation orders are made of"),
    },
    _("Orders and HL7"): {
        "orders.patient": _("Our patients and their identifiers"),
        "orders.order": _("Our orders, with those that were generated here"),
        "orders.accessionsequence": _("Where accession numbers of generated orders come from"),
        "orders.ordersystem": _("The RIS that is told of orders generated here. With a test"),
        "orders.worklist": _("Modality worklists that are asked for orders. With a test"),
        "orders.demographicssource": _("Systems that are asked for patients. With a test"),
        "orders.feed": _("How the HL7 messages of each sender are read"),
        "orders.notice": _("What an order system was told, and what it answered"),
        "orders.message": _("Every HL7 message that came, and what it changed"),
        "orders.merge": _("Patients that were merged, with undo"),
        "orders.crossreference": _("Which outside number belongs to which of our patients"),
        "orders.claim": _("Numbers that two patients were given"),
    },
    _("Records"): {
        "policies.ledgerline": _("Who did what, when and why. Nothing in it is ever changed"),
        "policies.policyversion": _("What each rule said on any day, who changed it and why. Export and import"),
        "policies.policydraft": _("Changes that wait for their day or for a second person"),
    },
}
REST = _("More")


def topic_of(label: str):
    """The topic of a page, and what it is for."""
    found = ((topic, pages[label]) for topic, pages in TOPICS.items() if label in pages)
    return next(found, (REST, ""))


class Administration(admin.AdminSite):
    site_header = _("Outside images: administration")
    site_title = _("Outside images")
    index_title = _("Rules and partners")

    # What the pages of rules ask about studies, which the room of the policies does not know.
    effects = staticmethod(whatif.effects)
    tryout = tryout.Tryout
    why_silent = staticmethod(topics.why_silent)

    def get_app_list(self, request, app_label=None):
        """As Django gives it for one application; by topic for all of them. What nobody may see stays out."""
        applications = super().get_app_list(request, app_label)
        if app_label:
            return applications
        topics = {str(topic): [] for topic in [*TOPICS, REST]}
        for application in applications:
            for page in application["models"]:
                topic, purpose = topic_of(page["model"]._meta.label_lower)
                topics[str(topic)].append({**page, "purpose": purpose})
        order = {label: n for n, label in enumerate(label for pages in TOPICS.values() for label in pages)}
        return [
            {
                "name": topic,
                "app_label": f"topic-{n}",
                "app_url": f"{self._index()}#topic-{n}",
                "has_module_perms": True,
                "models": sorted(pages, key=lambda one: order.get(one["model"]._meta.label_lower, len(order))),
            }
            for n, (topic, pages) in enumerate(topics.items())
            if pages
        ]

    def _index(self) -> str:
        return reverse("admin:index", current_app=self.name)
