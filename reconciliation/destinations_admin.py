"""The managers' page of destinations: where released studies go, what proves that they are there, and a test."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from policies.models import Destination
from policies.trials import Trial
from policies.tried import Tried
from reconciliation import trials


@admin.register(Destination)
class Destinations(Tried):
    list_display = ["name", "kind", "organisation", "protocol", "ae_title", "host", "port", "proof", "active"]
    list_filter = ["active", "kind", "protocol", "proof", "organisation"]
    list_select_related = ["organisation"]
    search_fields = ["name", "ae_title", "host", "stow_url", "organisation__name"]
    fieldsets = [
        (None, {"fields": ["name", "kind", "organisation", "protocol", "outside", "offered", "active"]}),
        (
            _("DICOM"),
            {
                "fields": ["ae_title", "host", "port", "tls", "associations"],
                "description": _("The portal calls only hosts that the operator has listed (IMGSHARE_PEERS)."),
            },
        ),
        (_("DICOMweb"), {"fields": ["stow_url", "credentials"]}),
        (_("When a study is over"), {"fields": ["takes_rejection_notes"]}),
        (_("Proof of delivery"), {"fields": ["proof", "commitment_patience", "query_url", "query_ae_title"]}),
    ]

    def trial(self, partner: Destination) -> Trial:
        return trials.destination(partner)
