"""The managers' page of consent rules, with a page that tells which rule speaks of which facts."""

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.translation import gettext_lazy as _

from policies import consent
from policies.models import Basis, Category, ConsentRule, Destination, Direction, Intent, Purpose, Source
from policies.recorded import Recorded
from policies.rules import consent as rules


class Rule(forms.ModelForm):
    """Several of a few are ticked, not typed."""

    purposes = forms.MultipleChoiceField(
        label=_("Purposes"),
        choices=Purpose,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("None ticked: every purpose."),
    )
    suffices = forms.MultipleChoiceField(
        label=_("What suffices"),
        choices=Basis,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("Each ticked one is enough by itself."),
    )


class Tried(forms.Form):
    """Facts as they would stand in a study."""

    direction = forms.ChoiceField(label=_("Direction"), choices=Direction, initial=Direction.IN)
    purpose = forms.ChoiceField(label=_("Purpose"), choices=Purpose, initial=Purpose.CARE)
    age = forms.IntegerField(
        label=_("Age of the patient"), required=False, min_value=0, max_value=150, help_text=_("Empty: not known.")
    )
    source = forms.ModelChoiceField(Source.objects.all(), label=_("Source"), required=False)
    destination = forms.ModelChoiceField(
        Destination.objects.all(),
        label=_("Destination"),
        required=False,
        help_text=_("Then it says whether the images go out."),
    )
    category = forms.ChoiceField(label=_("Category"), choices=Category, initial=Category.INCORPORATED)
    intent = forms.ChoiceField(label=_("Intent"), choices=Intent, initial=Intent.REFERENCE)

    def facts(self) -> rules.Facts:
        said = self.cleaned_data
        source, to = said["source"], said["destination"]
        direction = said["direction"] if to is None else (Direction.OUT if to.outside else Direction.IN)
        keys = {"source": str(source.pk) if source else "", "destination": str(to.pk) if to else ""}
        plain = {name: said[name] for name in ("purpose", "category", "intent", "age")}
        return rules.Facts(direction=direction, **plain, **keys)


@admin.register(ConsentRule)
class ConsentRules(Recorded):
    form = Rule
    list_display = ["name", "priority", "for_what", "enough", "period", "evidence", "active"]
    list_filter = ["active", "direction", "source", "category", "intent", "evidence"]
    list_select_related = ["source", "destination"]
    search_fields = ["name"]
    fieldsets = [
        (
            None,
            {
                "fields": ["name", "priority", "active"],
                "description": _(
                    "The first rule by priority whose conditions all hold says what suffices. Where none holds, every "
                    "basis with its evidence does. A change is asked at the next release too: what was cleared and "
                    "does not suffice any more is not released."
                ),
            },
        ),
        (
            _("Which images it is for"),
            {
                "fields": ["direction", "purposes", "younger_than", "source", "destination", "category", "intent"],
                "description": _("All of these must hold. What is left empty holds for everything."),
            },
        ),
        (_("What it asks"), {"fields": ["suffices", "evidence", "period"]}),
    ]

    @admin.display(description=_("for"))
    def for_what(self, rule):
        asked = [rule.get_direction_display(), *(str(Purpose(one).label) for one in rule.purposes)]
        asked += [str(one) for one in (rule.source, rule.destination) if one]
        asked += [rule.get_category_display(), rule.get_intent_display()]
        asked += [_("younger than %(age)s") % {"age": rule.younger_than}] if rule.younger_than is not None else []
        return ", ".join(str(one) for one in asked if one) or _("everything")

    @admin.display(description=_("what suffices"))
    def enough(self, rule):
        return ", ".join(str(Basis(one).label) for one in rule.suffices)

    def get_urls(self):
        view = self.admin_site.admin_view(self.try_it)
        return [path("try/", view, name="policies_consentrule_try"), *super().get_urls()]

    def try_it(self, request: HttpRequest) -> TemplateResponse:
        """Which rule speaks of the facts in the address, what would suffice, and why the rules before it do not."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        form = Tried(request.GET if "purpose" in request.GET else None)
        decision = rules.decide(consent.active(), form.facts()) if form.is_valid() else None
        context = {
            **self.admin_site.each_context(request),
            "title": _("Which consent is needed?"),
            "opts": self.model._meta,
            "form": form,
            "decision": decision,
            "said": decision and rules.said(decision),
        }
        return TemplateResponse(request, "admin/policies/consentrule/try.html", context)
