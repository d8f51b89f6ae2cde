"""The managers' pages of the one file: export it, or import one after looking at what it would change."""

from collections.abc import Iterable

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from policies import exchange
from policies.problems import Denied, Problem
from policies.versioned import may
from policies.versions import KINDS

VERBS = {"added": "add", "changed": "change", "removed": "delete"}


class FileOfPolicies(forms.Form):
    """A file at first; then its text, as it was looked at."""

    file = forms.FileField(label=_("File"), required=False, help_text=_("As it was exported, and edited."))
    text = forms.CharField(widget=forms.HiddenInput, required=False, strip=False, max_length=exchange.LARGEST)
    why = forms.CharField(label=_("Why"), max_length=500, widget=forms.TextInput(attrs={"size": 80}))

    def clean(self):
        said = super().clean()
        if file := said.get("file"):
            try:
                said["text"] = file.read(4 * exchange.LARGEST).decode("utf-8")
            except UnicodeDecodeError:
                self.add_error("file", _("This is no text in UTF-8."))
        if not said.get("text") and not self.errors:
            self.add_error("file", _("Choose a file."))
        return said


def export(request: HttpRequest) -> HttpResponse:
    """The kinds of rules that this person may see."""
    text = exchange.exported([model for model in KINDS if may(request, "view", model)])
    name = f"policies-{timezone.localdate():%Y-%m-%d}.yaml"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return HttpResponse(text, content_type="application/yaml; charset=utf-8", headers=headers)


def import_(model_admin, request: HttpRequest) -> HttpResponse:
    """First the differences, then, when they were looked at, the changes."""
    if not any(may(request, "change", model) for model in KINDS):
        raise PermissionDenied
    form = FileOfPolicies(request.POST or None, request.FILES or None)
    changes = None
    if form.is_valid():
        text, why = form.cleaned_data["text"], form.cleaned_data["why"]
        try:
            changes = exchange.compared(text)
            _require_may(request, changes)
            exchange.tried(text, by=request.user, why=why)
            if "_confirmed" in request.POST:
                written = exchange.imported(text, by=request.user, why=why)
                said = ngettext("%s rule was imported.", "%s rules were imported.", len(written))
                model_admin.message_user(request, said % len(written))
                return HttpResponseRedirect(reverse("admin:policies_policyversion_changelist"))
            form = FileOfPolicies(initial={"text": text, "why": why})
        except Problem as refusal:
            changes = None
            form.add_error("file", str(refusal))
    context = {
        **model_admin.admin_site.each_context(request),
        "title": _("Import policies"),
        "opts": model_admin.opts,
        "form": form,
        "changes": changes,
        "nothing": changes == [],
    }
    return TemplateResponse(request, "admin/policies/import.html", context)


def _require_may(request: HttpRequest, changes: Iterable[exchange.Change]) -> None:
    for one in changes:
        if not may(request, VERBS[one.deed], one.wanted.model):
            raise Denied(f"Your role may not change this: {one.kind} '{one.wanted.title}'.")
