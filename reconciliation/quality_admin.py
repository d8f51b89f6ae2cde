"""The managers' page of the record quality rules: what is asked, how grave it is, and what follows."""

from django.contrib import admin, messages
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from policies.models import QualityRule
from policies.recorded import Recorded
from reconciliation import quality


@admin.register(QualityRule)
class QualityRules(Recorded):
    """Studies are asked when they settle; those that are held already are looked at again by the action."""

    list_display = ["code", "kind", "attribute", "source", "modality", "severity", "follows", "active"]
    list_filter = ["active", "severity", "kind", "follows", "source"]
    list_select_related = ["source"]
    search_fields = ["code", "attribute", "sentence"]
    actions = ["look_again"]
    fieldsets = [
        (
            None,
            {
                "fields": ["code", "kind", "check_code", "attribute", "when", "accepted", "sentence"],
                "description": _(
                    "What is asked. A built-in check is chosen from the list; any other rule names an attribute by its "
                    "DICOM keyword, which is read from the first object of each series. The sentence never repeats a "
                    "value of the study."
                ),
            },
        ),
        (
            _("Of which studies"),
            {
                "fields": ["source", "modality"],
                "description": _("Of two rules for one built-in check, the one for this source or modality counts."),
            },
        ),
        (_("How grave it is"), {"fields": ["severity", "active"]}),
        (
            _("What follows"),
            {
                "fields": ["follows", "correction", "replacements", "reason"],
                "description": _(
                    "A correction is shown to staff before mapping, and the old value is kept inside the object. A "
                    "study kept apart stands under Quality in the queue, and is never matched by the portal. A "
                    "rejection is only proposed: a person decides."
                ),
            },
        ),
    ]

    @admin.action(
        description=_("Look again at all held studies with the rules as they are now"), permissions=["change"]
    )
    def look_again(self, request: HttpRequest, queryset) -> None:
        quality.request_look(by=request.user)
        said = _("All held studies are looked at again. What was overridden stays, and what is no longer found goes.")
        self.message_user(request, said, messages.SUCCESS)
