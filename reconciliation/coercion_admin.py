"""The managers' page of what is written into objects, with a page to try a rule on a held study."""

import uuid
from typing import NamedTuple

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.translation import gettext_lazy as _

from policies import coercion
from policies.models import CoercionRule, Intent
from policies.recorded import Recorded
from policies.rules import amendments
from policies.rules.values import called
from reconciliation import amending, mapping, queue
from reconciliation.models import Study

MOST = 10  # studies that a search shows


class Tried(forms.Form):
    """A held study, and a rule that is taken as if it were in use."""

    study = forms.CharField(
        label=_("Study"),
        widget=forms.TextInput(attrs={"size": 60}),
        help_text=_("Its address or key, or words to search held studies for."),
    )
    rule = forms.ModelChoiceField(
        CoercionRule.objects.exclude(kind=CoercionRule.Kind.PREFIX),
        label=_("As if this rule were in use"),
        required=False,
        help_text=_("Save a draft with 'active' not ticked, and try it here before it is used."),
    )
    intent = forms.ChoiceField(label=_("Purpose"), choices=[("", _("not said yet")), *Intent.choices], required=False)

    def key(self) -> uuid.UUID | None:
        pieces = [piece for piece in self.cleaned_data["study"].split("?")[0].split("/") if piece]
        try:
            return uuid.UUID(pieces[-1])
        except ValueError:
            return None


class Line(NamedTuple):
    """An attribute before and after, and by which rules; the same twice where it stays."""

    name: str
    before: str
    after: str
    by: str


@admin.register(CoercionRule)
class CoercionRules(Recorded):
    """What is written besides what IHE RAD-61 demands. It is shown to staff before each mapping."""

    list_display = ["name", "kind", "attribute", "how", "text", "source", "category", "priority", "active"]
    list_filter = ["active", "kind", "category", "source", "modality"]
    list_select_related = ["source"]
    search_fields = ["name", "attribute", "text"]
    change_list_template = "admin/policies/coercionrule/change_list.html"
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

    def get_urls(self):
        view = self.admin_site.admin_view(self.try_out)
        return [path("try/", view, name="policies_coercionrule_try"), *super().get_urls()]

    def try_out(self, request: HttpRequest) -> TemplateResponse:
        """What a rule would make of a held study. Words are posted, so that no name gets into an address."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        form = Tried(request.POST or None, initial={"rule": request.GET.get("rule")})
        found = self._tried(request, form) if form.is_valid() else {}
        context = {
            **self.admin_site.each_context(request),
            "title": _("What would be written into this study?"),
            "opts": self.model._meta,
            "form": form,
            **found,
        }
        return TemplateResponse(request, "admin/policies/coercionrule/try.html", context)

    def _tried(self, request: HttpRequest, form: Tried) -> dict:
        held = queue.studies(request.user, {"state": Study.State.HELD, "q": "" if form.key() else form.data["study"]})
        found = list((held.filter(pk=form.key()) if form.key() else held)[:MOST])
        if not found:
            form.add_error("study", _("There is no such held study that you may see."))
        if len(found) != 1:
            return {"found": found}
        return {"study": found[0], **tried(found[0], form.cleaned_data["rule"], form.cleaned_data["intent"])}


def tried(study: Study, draft: CoercionRule | None, intent: str) -> dict:
    """The amended attributes before and after, what could not be done, and the rules that were passed over."""
    given = [one for one in coercion.amendments() if draft is None or one.name != draft.name]
    if draft is not None:
        draft.active = True
        given.append(coercion.amendment(draft))
    policy = amending.of(study, intent, given=given)
    patient, order = _likeliest(study)
    facts = mapping.facts(study, patient, order, policy)
    return {
        "lines": [_line(rule, facts) for rule in amendments.rules(policy.decision.chosen, policy.occasion)],
        "warned": policy.warnings(facts),
        "passed": policy.decision.passed,
        "draft": draft,
        "assumed": order or patient,
    }


def _likeliest(study: Study) -> tuple:
    """Patient and order of the first proposal: whose values would win."""
    row = study.proposals.select_related("patient", "order").filter(patient__merged_into=None).first()
    return (row.patient, row.order) if row and row.patient.identifier() else (None, None)


def _line(rule, facts) -> Line:
    held = list(dict.fromkeys(_text(each.get(rule.path)) for each in facts.incoming))
    before = " | ".join(held)
    decision = rule.decide(rule.path, facts)
    after = before if decision is None else _text(decision.new)
    return Line(called(rule.path), before, after, decision.rule if decision else "")


def _text(value) -> str:
    return "\\".join(map(str, value)) if isinstance(value, list) else value or ""
