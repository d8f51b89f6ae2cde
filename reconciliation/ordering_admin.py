"""The managers' pages of the procedure map, with a page to try it on a study, and of orders that can be cancelled."""

import uuid

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.translation import gettext_lazy as _

from orders.admin import Orders
from orders.models import Order
from policies import procedures
from policies.models import ProcedureRule, Source
from policies.problems import Problem
from policies.recorded import Recorded
from policies.rules.procedures import Outside
from reconciliation import ordering, queue
from reconciliation.models import Study

BY_CLICK = "Cancelled in the administration"


class Tried(forms.Form):
    """A study by its address or key, or facts as they would stand in one."""

    study = forms.CharField(
        label=_("Study"),
        required=False,
        widget=forms.TextInput(attrs={"size": 60}),
        help_text=_("Its address or key. Then it alone counts."),
    )
    source = forms.ModelChoiceField(Source.objects.all(), label=_("Source"), required=False)
    modality = forms.CharField(label=_("Modality"), required=False, help_text=_("Several with commas: CT, SR."))
    body_part = forms.CharField(label=_("Body part"), required=False)
    description = forms.CharField(label=_("Description"), required=False)
    code = forms.CharField(label=_("Code"), required=False, help_text=_("Of the sender: value and coding scheme."))

    def clean_study(self) -> uuid.UUID | None:
        pieces = [piece for piece in self.cleaned_data["study"].split("?")[0].split("/") if piece]
        try:
            return uuid.UUID(pieces[-1]) if pieces else None
        except ValueError:
            raise forms.ValidationError(_("This is no address of a study.")) from None

    def outside(self) -> Outside:
        said = self.cleaned_data
        value, _blank, scheme = said["code"].strip().partition(" ")
        return Outside(
            source=str(said["source"].pk) if said["source"] else "",
            modalities=_listed(said["modality"]),
            body_parts=_listed(said["body_part"]),
            description=said["description"],
            codes=((value, scheme.strip()),) if value else (),
        )


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


@admin.register(ProcedureRule)
class ProcedureRules(Recorded):
    """The procedure map, in the order in which its lines are asked."""

    list_display = ["__str__", "priority", "source", "modality", "body_part", "words", "code", "procedure", "active"]
    list_filter = ["active", "source", "modality", "procedure"]
    list_select_related = ["source", "procedure"]
    search_fields = ["words", "code", "body_part", "procedure__meaning"]
    change_list_template = "admin/policies/procedurerule/change_list.html"
    fieldsets = [
        (_("Outside studies like this"), {"fields": ["source", "modality", "body_part", "words", "code", "scheme"]}),
        (_("are imported under"), {"fields": ["procedure", "priority", "active"]}),
    ]

    def get_urls(self):
        view = self.admin_site.admin_view(self.try_out)
        return [path("try/", view, name="policies_procedurerule_try"), *super().get_urls()]

    def try_out(self, request: HttpRequest) -> TemplateResponse:
        """Which procedure a study would get, by which line, and why the lines before it were passed over."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        form = Tried(request.GET or None)
        found = {}
        if form.is_valid():
            found = self._tried(request, form)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Which procedure would this study get?"),
            "opts": self.model._meta,
            "form": form,
            **found,
        }
        return TemplateResponse(request, "admin/policies/procedurerule/try.html", context)

    def _tried(self, request: HttpRequest, form: Tried) -> dict:
        key = form.cleaned_data["study"]
        if not key:
            return {"chosen": procedures.choose(form.outside())}
        study: Study | None = queue.visible_to(request.user).select_related("source").filter(pk=key).first()
        if study is None:
            form.add_error("study", _("There is no such study that you may see."))
            return {}
        facts = ordering.outside(study)
        return {"study": study, "facts": facts, "chosen": procedures.choose(facts)}


admin.site.unregister(Order)


@admin.register(Order)
class CancellableOrders(Orders):
    actions = [*(Orders.actions or []), "cancel_orders"]

    @admin.action(description=_("Cancel the selected orders that were generated here"), permissions=["change"])
    def cancel_orders(self, request: HttpRequest, queryset) -> None:
        """Each for itself: one that cannot be cancelled says why, and the others are."""
        for order in queryset:
            try:
                ordering.cancel(order, by=request.user, reason=BY_CLICK)
            except Problem as refusal:
                self.message_user(request, str(refusal), messages.ERROR)
            else:
                self.message_user(request, _("%(order)s is cancelled.") % {"order": order}, messages.SUCCESS)
