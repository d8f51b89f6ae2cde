"""Patients, orders and accession numbers, entered by hand where no message feed brings them."""

from django.contrib import admin, messages
from django.utils.translation import gettext_lazy as _

from orders import hl7_pages, outbound, received  # noqa: F401 - the pages of messages and feeds
from orders.models import AccessionSequence, Identifier, Notice, Order, OrderSystem, Patient
from orders.telling import by_hand
from policies import audit
from policies.admin import Recorded
from policies.problems import Problem


class IdentifierInline(admin.TabularInline):
    model = Identifier
    fk_name = "patient"
    extra = 0
    min_num = 1
    validate_min = True  # a patient without an identifier of ours cannot be mapped to


def _identifiers(patient: Patient) -> list[str]:
    return [str(one) for one in Identifier.objects.filter(patient=patient)]


@admin.register(Patient)
class Patients(Recorded):
    list_display = ["name", "birth_date", "sex", "identified_by"]
    list_filter = ["sex"]
    search_fields = ["name", "identifiers__value"]
    inlines = [IdentifierInline]

    def get_queryset(self, request):
        return super().get_queryset(request).prefetch_related("identifiers")

    @admin.display(description="identifiers")
    def identified_by(self, patient):
        return ", ".join(str(one) for one in patient.identifiers.all())

    def save_model(self, request, obj, form, change):
        super().save_model(request, obj, form, change)
        by_hand(obj, {"name", "birth_date", "sex"}.intersection(form.changed_data) if change else ())

    def save_formset(self, request, form, formset, change):
        old = _identifiers(form.instance)
        super().save_formset(request, form, formset, change)
        if formset.has_changed():
            form.instance.save(update_fields=["changed_at"])  # a new identifier can match a waiting study
            new = _identifiers(form.instance)
            audit.record(request.user, "change identifiers", form.instance, detail={"old": old, "new": new})


@admin.register(Order)
class Orders(Recorded):
    list_display = ["accession_number", "description", "patient", "modality", "status", "origin", "scheduled_at"]
    list_filter = ["status", "origin", "for_import", "modality"]
    list_select_related = ["patient"]
    search_fields = ["accession_number", "patient__name", "patient__identifiers__value"]
    autocomplete_fields = ["patient"]

    def save_model(self, request, obj, form, change):
        if not change:
            obj.created_by = str(request.user)
        if "patient" in form.changed_data:
            obj.own = None
        super().save_model(request, obj, form, change)
        if change:
            received.by_hand(obj, form.changed_data)


@admin.register(AccessionSequence)
class AccessionSequences(Recorded):
    list_display = ["__str__", "next", "issuer", "active"]


@admin.register(OrderSystem)
class OrderSystems(Recorded):
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


@admin.register(Notice)
class Notices(admin.ModelAdmin):
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

    def has_add_permission(self, request):
        return False

    def has_change_permission(self, request, obj=None):
        return False

    def has_delete_permission(self, request, obj=None):
        return False
