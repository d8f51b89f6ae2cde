"""The managers' pages of drafts, and of every version of every rule."""

from functools import partial

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import NoReverseMatch, path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from policies import drafts, exchange_admin, versions
from policies.models import PolicyDraft, PolicyVersion
from policies.problems import Problem
from policies.recorded import LookedAt
from policies.versioned import may

State = PolicyDraft.State
STEPS = {
    "submit": drafts.submit,
    "approve": drafts.approve,
    "decline": drafts.decline,
    "withdraw": drafts.withdraw,
}
OFFERED = {
    State.DRAFT: ["submit", "withdraw"],
    State.SUBMITTED: ["approve", "decline", "withdraw"],
    State.APPROVED: ["withdraw"],
}


def name_of(kind: str) -> str:
    model = versions.model_of(kind)
    return str(model._meta.verbose_name) if model else kind


def page_of(kind: str, key: str, page: str = "change") -> str:
    """The address of a rule's page, "" where it has none of its own."""
    try:
        return reverse(f"admin:{kind.replace('.', '_')}_{page}", args=[key]) if key else ""
    except NoReverseMatch:
        return ""


class OfAKind(admin.SimpleListFilter):
    title = _("kind")
    parameter_name = "kind"

    def lookups(self, request, model_admin):
        return sorted((versions.kind_of(model), str(model._meta.verbose_name)) for model in versions.KINDS)

    def queryset(self, request, queryset):
        return queryset.filter(kind=self.value()) if self.value() else queryset


@admin.register(PolicyDraft)
class PolicyDrafts(LookedAt):
    """What is about to change. Who may change the rule submits and withdraws; who may approve policy approves."""

    list_display = ["title", "kind_of_rule", "state", "made_by", "made_at", "effective_from", "why"]
    list_filter = ["state", OfAKind]
    list_select_related = ["made_by"]
    search_fields = ["title", "why"]
    change_form_template = "admin/policies/draft.html"
    fields = ["kind_of_rule", "state", "made_by", "made_at", "why", "effective_from", "approved_by", "approved_at"]
    readonly_fields = fields

    @admin.display(description=_("kind"))
    def kind_of_rule(self, draft):
        return name_of(draft.kind)

    def get_urls(self):
        view = self.admin_site.admin_view(self.step)
        return [path("<uuid:key>/step/<str:verb>/", view, name="policies_policydraft_step"), *super().get_urls()]

    def change_view(self, request, object_id, form_url="", extra_context=None):
        draft = self.get_object(request, object_id)
        context = {}
        if draft:
            model = versions.model_of(draft.kind)
            wanted = [drafts.wanted(draft)] if model and draft.state in drafts.WAITING else []
            silent = self.admin_site.why_silent(model) if wanted else ""
            rehearsing = wanted and not silent and "rehearse" in request.GET
            context = {
                "draft": draft,
                "deleted": draft.columns is None,
                "differences": drafts.differences(draft),
                "rule": page_of(draft.kind, draft.key) if draft.based_on else "",
                "steps": offered(request, draft),
                "found": self.admin_site.effects(request, wanted, past=True) if rehearsing else None,
                "rehearses": bool(wanted) and not silent,
                "silent": silent,
            }
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})

    def step(self, request: HttpRequest, key, verb: str) -> HttpResponse:
        draft = get_object_or_404(PolicyDraft.objects.select_related("made_by"), pk=key)
        if request.method != "POST" or not self.has_view_permission(request) or verb not in STEPS:
            raise PermissionDenied
        try:
            if barred := why_not(request, draft, verb):
                raise Problem(barred)
            said = {"reason": request.POST.get("reason", "")} if verb == "decline" else {}
            STEPS[verb](draft, by=request.user, **said)
        except Problem as refusal:
            self.message_user(request, str(refusal), messages.ERROR)
        else:
            said = draft.problem or _("'%(title)s': %(state)s.") % {
                "title": draft.title,
                "state": draft.get_state_display(),
            }
            self.message_user(request, said, messages.ERROR if draft.problem else messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:policies_policydraft_change", args=[draft.pk]))


def offered(request, draft: PolicyDraft) -> dict[str, str]:
    """The steps that the state of a draft allows, each with why this person may not take it."""
    return {verb: why_not(request, draft, verb) for verb in OFFERED.get(draft.state, [])}


def why_not(request, draft: PolicyDraft, verb: str) -> str:
    """Say why this person may not take the step, or "". The pages and the REST calls ask the same."""
    if verb in ("approve", "decline"):
        return drafts.why_not_approve(draft, request.user)
    model = versions.model_of(draft.kind)
    if model is None or not may(request, "change", model):
        return _("Who may change such rules may do this.")
    return ""


@admin.register(PolicyVersion)
class PolicyVersions(LookedAt):
    """Every change of every rule, the newest first; a deleted rule is found here too."""

    list_display = ["effective_from", "title", "kind_of_rule", "number", "made_by", "why", "history"]
    list_filter = [OfAKind, "effective_from"]
    list_select_related = ["made_by"]
    search_fields = ["title", "why", "key"]
    date_hierarchy = "effective_from"
    change_list_template = "admin/policies/versions.html"

    def get_urls(self):
        export = self.admin_site.admin_view(self.export)
        import_ = self.admin_site.admin_view(partial(exchange_admin.import_, self))
        return [
            path("export/", export, name="policies_policyversion_export"),
            path("import/", import_, name="policies_policyversion_import"),
            *super().get_urls(),
        ]

    def export(self, request: HttpRequest) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return exchange_admin.export(request)

    @admin.display(description=_("kind"))
    def kind_of_rule(self, version):
        return name_of(version.kind)

    @admin.display(description=_("history"))
    def history(self, version):
        page = page_of(version.kind, version.key, "history")
        return format_html('<a href="{}">{}</a>', page, _("All versions")) if page else ""
