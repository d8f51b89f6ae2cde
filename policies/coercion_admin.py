"""The managers' page of what is written into objects besides what IHE RAD-61 demands."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from policies.models import CoercionRule
from policies.recorded import Recorded


@admin.register(CoercionRule)
class CoercionRules(Recorded):
    """What is written besides what IHE RAD-61 demands. It is shown to staff before each mapping."""

    list_display = ["name", "kind", "attribute", "how", "text", "source", "category", "priority", "active"]
    list_filter = ["active", "kind", "category", "source", "modality"]
    list_select_related = ["source"]
    search_fields = ["name", "attribute", "text"]
    fieldsets = [
        (
            None,
            {
                "fields": ["name", "kind", "attribute", "how", "text", "issuer"],
                "description": _(
                    "Patient, accession number and request always come from the local order: no rule can change "
                    "that. What would not fit into the attribute is not written, and staff are told; nothing is cut. "
                    "The old values stay inside the object. Under a prefix studies are imported with the sender's "
                    "number, without an order, and are never linked to our patients."
                ),
            },
        ),
        (
            _("Of which studies"),
            {"fields": ["source", "category", "modality", "intent", "priority", "active"]},
        ),
    ]
