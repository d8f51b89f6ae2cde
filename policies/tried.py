"""Pages of partners that can be tested: a button calls the partner at once, and its answer is shown in words."""

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import HttpRequest, HttpResponseNotAllowed, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import path, reverse

from policies import reachable
from policies.recorded import Recorded
from policies.trials import Trial, record

WEB = ("stow_url", "query_url", "url")


class Addressed(forms.ModelForm):
    """Nobody is entered whom the portal would not call."""

    def clean(self):
        given = super().clean() or self.cleaned_data
        if given.get("host") and given.get("port") and (why := reachable.why_not(given["host"], given["port"])):
            self.add_error("host", why)
        for name in WEB:
            if given.get(name) and (why := reachable.why_not_web(given[name])):
                self.add_error(name, why)
        return given


class Tried(Recorded):
    """Whoever may change a partner can test it too: as it is stored, or saved first."""

    form = Addressed
    change_form_template = "admin/tried.html"

    def trial(self, partner) -> Trial:
        """Call the partner. Nothing changes there by it."""
        raise NotImplementedError

    def get_urls(self):
        name = f"{self.opts.app_label}_{self.opts.model_name}_test"
        return [path("<uuid:key>/test/", self.admin_site.admin_view(self.test), name=name), *super().get_urls()]

    def test(self, request: HttpRequest, key) -> HttpResponseRedirect:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not self.has_change_permission(request):
            raise PermissionDenied
        return self._told(request, get_object_or_404(self.get_queryset(request), pk=key))

    def _told(self, request: HttpRequest, partner: models.Model) -> HttpResponseRedirect:
        trial = record(self.trial(partner), partner, by=request.user)
        self.message_user(request, trial.sentence, messages.SUCCESS if trial.answers else messages.ERROR)
        where = f"admin:{self.opts.app_label}_{self.opts.model_name}_change"
        return HttpResponseRedirect(reverse(where, args=[partner.pk]))

    def response_change(self, request, obj):
        return self._told(request, obj) if "_try" in request.POST else super().response_change(request, obj)

    def response_add(self, request, obj, post_url_continue=None):
        is_tried = "_try" in request.POST
        return self._told(request, obj) if is_tried else super().response_add(request, obj, post_url_continue)
