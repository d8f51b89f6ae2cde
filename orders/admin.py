"""Patients, orders and accession numbers, entered by hand where no message feed brings them."""

from django.contrib import admin
from django.utils import timezone

from orders import hl7_pages, received, systems_admin  # noqa: F401 - further pages
from orders.models import AccessionSequence, Identifier, Order, Patient
from orders.telling import by_hand
from policies import audit
from policies.recorded import Recorded


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
        if change and "patient" in form.changed_data:  # studies that were proposed the order look elsewhere now
            Patient.objects.filter(pk=form.initial["patient"]).update(changed_at=timezone.now())
        if change:
            received.by_hand(obj, form.changed_data)


@admin.register(AccessionSequence)
class AccessionSequences(Recorded):
    list_display = ["__str__", "next", "issuer", "active"]
