"""The systems that are told of orders or asked for them: who they are, what they were told, and whether they answer."""

from django.contrib import admin, messages
from django.utils.translation import gettext_lazy as _

from orders import lookup, outbound
from orders.models import DemographicsSource, Notice, OrderSystem, Worklist
from policies.problems import Problem
from policies.recorded import LookedAt
from policies.trials import Trial
from policies.tried import Tried


@admin.register(OrderSystem)
class OrderSystems(Tried):
    list_display = ["name", "pattern", "form", "host", "port", "tls", "patience", "active"]
    list_filter = ["active", "pattern"]
    search_fields = ["name", "host"]
    fieldsets = [
        (None, {"fields": ["name", "pattern", "active"]}),
        (_("How it is reached"), {"fields": ["host", "port", "tls", "patience"]}),
        (
            _("What it is told"),
            {"fields": ["form", "receiving_application", "receiving_facility", "character_set", "ordering_provider"]},
        ),
    ]

    def trial(self, partner: OrderSystem) -> Trial:
        return outbound.trial(partner)


@admin.register(Notice)
class Notices(LookedAt):
    """To look at, and to send again: what is told of an order follows from the order."""

    list_display = ["created_at", "kind", "system", "order", "state", "problem"]
    list_filter = ["state", "kind", "system"]
    list_select_related = ["system", "order"]
    search_fields = ["control_id", "order__accession_number", "order__placer_order_number"]
    exclude = ["raw", "lease_until"]
    readonly_fields = ["told"]
    actions = ["tell_again"]

    @admin.display(description=_("the message"))
    def told(self, notice):
        return bytes(notice.raw).decode("utf_8", "replace").replace("\r", "\n")

    @admin.action(description=_("Send the selected notices again"), permissions=["view"])
    def tell_again(self, request, queryset):
        """Each for itself: one that cannot be sent says why, and the others are."""
        for notice in queryset.select_related("system", "order__patient"):
            try:
                outbound.retry(notice, by=request.user)
            except Problem as refusal:
                self.message_user(request, str(refusal), messages.ERROR)
            else:
                self.message_user(request, _("%(notice)s is sent again.") % {"notice": notice}, messages.SUCCESS)


class Asked(Tried):
    """A system that is asked."""

    list_filter = ["active"]
    search_fields = ["name", "host"]

    def trial(self, partner) -> Trial:
        return Trial(*lookup.trial(partner))


@admin.register(Worklist)
class Worklists(Asked):
    list_display = ["name", "ae_title", "host", "port", "issuer", "active"]


@admin.register(DemographicsSource)
class DemographicsSources(Asked):
    list_display = ["name", "protocol", "host", "port", "url", "issuer", "cross_references", "active"]
    fieldsets = [
        (None, {"fields": ["name", "protocol", "issuer", "patience", "active"]}),
        (
            _("HL7 v2"),
            {"fields": ["host", "port", "tls", "receiving_application", "receiving_facility", "cross_references"]},
        ),
        (_("FHIR"), {"fields": ["url", "credentials"]}),
    ]
