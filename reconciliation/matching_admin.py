"""The managers' page of matching policies: approval, and the rehearsal of a draft on past studies."""

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from policies import audit
from policies.models import MatchingPolicy
from policies.recorded import Recorded
from reconciliation import queue, rehearsal
from reconciliation.automatic import Certainty
from reconciliation.models import Study

PATIENCE = 10.0  # seconds that a page takes for a rehearsal; the command takes what it needs
CASES = 200  # shown on the page


class Draft(forms.Form):
    """The draft to rehearse; nothing of it is saved."""

    probability = forms.FloatField(label=_("Least probability"), min_value=0.9, max_value=1)
    margin = forms.FloatField(label=_("Least margin"), min_value=0.1, max_value=1)
    days = forms.IntegerField(label=_("Studies of the last days"), min_value=1, max_value=3650)


@admin.register(MatchingPolicy)
class MatchingPolicies(Recorded):
    """Whoever saves an automatic policy approves it, as it is then: every later change is approved by its saver."""

    list_display = ["source", "automatic", "least_probability", "least_margin", "intent", "approved_by", "held_now"]
    list_select_related = ["source", "approved_by"]
    readonly_fields = ["held_now", "approved_by", "approved_at", "rehearsed"]
    fieldsets = [
        (
            None,
            {
                "fields": ["source", "held_now", "rehearsed"],
                "description": _(
                    "Matched without a person is only what has a number of a trusted issuer, the same birth date and "
                    "name, one fitting open order, no other plausible patient and no finding to decide. "
                    "Clearance and release stay with people, and what a person undid is never matched again."
                ),
            },
        ),
        (_("How certain it must be"), {"fields": ["least_probability", "least_margin", "intent"]}),
        (
            _("Approval"),
            {
                "fields": ["automatic", "approved_by", "approved_at"],
                "description": _("Saving this page with 'automatic' ticked approves the policy as it stands, by you."),
            },
        ),
    ]

    def get_readonly_fields(self, request, obj=None):
        return [*self.readonly_fields, *(["source"] if obj else [])]

    @admin.display(description=_("held now"))
    def held_now(self, policy):
        return Study.objects.filter(source=policy.source_id, state=Study.State.HELD).count() if policy.pk else "-"

    @admin.display(description=_("rehearsal"))
    def rehearsed(self, policy):
        if not policy.source_id:
            return _("Save it without 'automatic' first, then rehearse it.")
        address = reverse("admin:policies_matchingpolicy_rehearsal", args=[policy.pk])
        return format_html('<a href="{}">{}</a>', address, _("Rehearse it on past studies"))

    def save_model(self, request, obj, form, change):
        if form.changed_data or not obj.approved_by_id:
            obj.signed_by(request.user, timezone.now())
        super().save_model(request, obj, form, change)
        if obj.automatic and form.changed_data:
            said = {name: str(getattr(obj, name)) for name in ("least_probability", "least_margin", "intent")}
            audit.record(request.user, "approve", obj, detail=said)

    def get_urls(self):
        view = self.admin_site.admin_view(self.rehearsal)
        return [path("<uuid:key>/rehearsal/", view, name="policies_matchingpolicy_rehearsal"), *super().get_urls()]

    def rehearsal(self, request: HttpRequest, key) -> TemplateResponse:
        """Run the draft in the address over the past studies that this person may see."""
        policy = get_object_or_404(MatchingPolicy.objects.select_related("source"), pk=key)
        if not self.has_view_permission(request, policy):
            raise PermissionDenied
        asked = {"probability": policy.least_probability, "margin": policy.least_margin, "days": 90}
        form = Draft({**asked, **request.GET.dict()})
        found = None
        if form.is_valid():
            draft = form.cleaned_data
            studies = queue.visible_to(request.user).filter(source=policy.source)
            certainty = Certainty(draft["probability"], draft["margin"])
            found = rehearsal.rehearse(studies, certainty, days=draft["days"], seconds=PATIENCE)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Rehearsal: %(source)s") % {"source": policy.source},
            "opts": self.model._meta,
            "policy": policy,
            "form": form,
            "found": found,
            "cases": sorted(found.cases, key=lambda case: not case.differs)[:CASES] if found else [],
            "left": found.left.most_common() if found else [],
            "cannot_know": rehearsal.CANNOT_KNOW,
        }
        return TemplateResponse(request, "admin/policies/matchingpolicy/rehearsal.html", context)
