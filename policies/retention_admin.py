"""The managers' page of the retention rules."""

from django.contrib import admin, messages
from django.http import HttpResponseRedirect
from django.utils.translation import gettext_lazy as _

from policies import presets
from policies.models import RetentionRule
from policies.recorded import Recorded


@admin.register(RetentionRule)
class RetentionRules(Recorded):
    list_display = ["name", "priority", "period", "clock", "outcome", "category", "modality", "intent", "active"]
    list_filter = ["active", "outcome", "clock", "category", "intent", "source"]
    search_fields = ["name", "note"]
    actions = ["load_presets"]
    fieldsets = [
        (
            None,
            {
                "fields": ["name", "priority", "note", "active"],
                "description": _(
                    "The desk is shown the rule, the day and how it was worked out before a study is cleared. A study "
                    "keeps the rule as it was on that day: what you change here holds for studies that are not yet "
                    "cleared. Nothing is deleted by a rule alone: somebody approves it on the page Expiry."
                ),
            },
        ),
        (
            _("Which studies"),
            {
                "fields": ["source", "category", "modality", "intent", "from_age", "under"],
                "description": _("All that is filled in must hold. What is empty fits every study."),
            },
        ),
        (_("How long"), {"fields": ["period", "clock", "birthday"]}),
        (_("Then"), {"fields": ["outcome"]}),
    ]

    @admin.action(description=_("Load the rules of laws and guidelines (inactive)"), permissions=["add"])
    def load_presets(self, request, queryset):
        made = presets.load(by=request.user)
        words = f"{len(made)} rules loaded. Look at each, then activate what holds here." if made else "All are here."
        messages.info(request, words)

    def changelist_view(self, request, extra_context=None):
        """The action needs no rule to be ticked: there may be none yet."""
        if (
            request.method == "POST"
            and request.POST.get("action") == "load_presets"
            and self.has_add_permission(request)
        ):
            self.load_presets(request, self.get_queryset(request).none())
            return HttpResponseRedirect(request.get_full_path())
        return super().changelist_view(request, extra_context)
