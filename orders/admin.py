"""Patients, orders and accession numbers, entered by hand where no message feed brings them."""

from django.contrib import admin, messages
from django.http import HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from orders import lookup
from orders.models import AccessionSequence, DemographicsSource, Identifier, Order, Patient, Worklist
from policies import audit
from policies.admin import Recorded


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
        super().save_model(request, obj, form, change)


@admin.register(AccessionSequence)
class AccessionSequences(Recorded):
    list_display = ["__str__", "next", "issuer", "active"]


class Asked(Recorded):
    """A system that is asked; whoever may change it can try it too."""

    change_form_template = "orders/asked_system.html"
    list_filter = ["active"]

    def _tried(self, request, obj) -> HttpResponseRedirect | None:
        if "_try" not in request.POST:
            return None
        answers, said = lookup.trial(obj)
        self.message_user(request, said, messages.SUCCESS if answers else messages.ERROR)
        return HttpResponseRedirect(reverse(f"admin:orders_{self.opts.model_name}_change", args=[obj.pk]))

    def response_change(self, request, obj):
        return self._tried(request, obj) or super().response_change(request, obj)

    def response_add(self, request, obj, post_url_continue=None):
        return self._tried(request, obj) or super().response_add(request, obj, post_url_continue)


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
