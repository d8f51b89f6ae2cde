"""Pages of rules: who saves says why; every change is a version, and may wait for its day or for a second person."""

from datetime import datetime, time
from functools import cache

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.options import BaseModelAdmin
from django.contrib.admin.utils import flatten_fieldsets, unquote
from django.contrib.admin.widgets import AdminDateWidget
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from policies import drafts, versions
from policies.drafts import Wanted
from policies.models import PolicyDraft, PolicyVersion

DELETED = _("Deleted in the administration.")
PRESSED = ("_save", "_addanother", "_continue", "_rehearse", "_confirmed", "csrfmiddlewaretoken")
ONLY_ASKED = ("_rehearse", "_tryout")  # buttons that ask what a rule would do, and save nothing
REASONS = ("why", "effective_from", "draft")


def may(request: HttpRequest, verb: str, model) -> bool:
    """Whether this person may add, change, delete or view such rules: as their page says, where they have one."""
    if admin.site.is_registered(model):
        return getattr(admin.site.get_model_admin(model), f"has_{verb}_permission")(request)
    return request.user.has_perm(f"{model._meta.app_label}.{verb}_{model._meta.model_name}")


class NotOfTheRule:
    """A field that says something about the change, and changes nothing by itself."""

    def has_changed(self, initial, data) -> bool:
        return False


class Why(NotOfTheRule, forms.CharField):
    pass


class Day(NotOfTheRule, forms.DateField):
    """Today or later: a rule is not put in force for days that are over."""

    def validate(self, value):
        super().validate(value)
        if value and value < timezone.localdate():
            raise forms.ValidationError(_("This day is over. Leave it empty to change the rule at once."))


class Only(NotOfTheRule, forms.BooleanField):
    pass


@cache
def with_reasons(form: type[forms.ModelForm], required: bool) -> type[forms.ModelForm]:
    """The form of a rule that asks why, too."""
    fields = {
        "why": Why(
            label=_("Why"),
            required=required,
            max_length=500,
            widget=forms.TextInput(attrs={"size": 80}),
            help_text=_("Kept with this version of the rule, for whoever asks later."),
        ),
        "effective_from": Day(
            label=_("In force from"),
            required=False,
            widget=AdminDateWidget,
            help_text=_("A day to come: the change waits for it. Empty: at once."),
        ),
        "draft": Only(
            label=_("Only a draft"),
            required=False,
            help_text=_("Nothing changes yet: it is kept beside the rule, can be rehearsed, and is submitted later."),
        ),
    }
    return type(form.__name__, (form,), fields)


@cache
def never_saved(form: type[forms.ModelForm]) -> type[forms.ModelForm]:
    """The form of a rule that is only tried: it says what is wrong with it, and is valid for nobody who would save."""
    return type(form.__name__, (form,), {"is_valid": lambda self: False})


class Uncut(BaseModelAdmin):
    """What is pasted into a field comes as it is, and is refused where it cannot be so."""

    def formfield_for_dbfield(self, db_field, request, **kwargs):
        """A text that is too long is refused with a sentence; the browser would cut what is pasted, and say nothing."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if isinstance(db_field, models.CharField) and field is not None:
            field.widget.attrs.pop("maxlength", None)
        if isinstance(field, forms.SlugField):
            field.error_messages["invalid"] = _("Use letters, digits, hyphens and underscores, and no blanks.")
        return field


class Versioned(Uncut, admin.ModelAdmin):
    """The pages of what is one of `versions.KINDS`, or has such rows in a table of its own.

    What a change would do to studies the site says: its `effects`, `tryout` and `why_silent`.
    """

    def keeps_versions(self, request, obj=None) -> bool:
        kinds = [self.model, *(inline.model for inline in self.get_inlines(request, obj))]
        return any(model in versions.KINDS for model in kinds)

    def _asks_why(self, request, obj) -> bool:
        may = self.has_change_permission(request, obj) if obj else self.has_add_permission(request)
        return may and self.keeps_versions(request, obj)

    def get_form(self, request, obj=None, change=False, **kwargs):
        if self._asks_why(request, obj):
            required = obj is not None and not any(name in request.POST for name in ONLY_ASKED)
            kwargs["form"] = with_reasons(kwargs.get("form") or self.form, required=required)
        form = super().get_form(request, obj, change=change, **kwargs)
        return never_saved(form) if "_tryout" in request.POST else form

    def get_fieldsets(self, request, obj=None):
        fieldsets = super().get_fieldsets(request, obj)
        if not self._asks_why(request, obj):
            return fieldsets
        own = []
        for name, options in fieldsets:
            fields = [field for field in options["fields"] if field not in REASONS]
            own.append((name, {**options, "fields": fields}))
        return [*own, (_("This change"), {"fields": [*REASONS]})]

    def why(self, form) -> str:
        return getattr(form, "cleaned_data", {}).get("why", "")

    def save_related(self, request, form, formsets, change):
        """The row and those in its tables are saved: each that is a rule gets its version."""
        kept = [formset for formset in formsets if formset.model in versions.KINDS]
        for one in (one for formset in kept for one in formset.deleted_forms if one.instance.pk):
            versions.forget(one.instance, by=request.user, why=self.why(form))
        super().save_related(request, form, formsets, change)
        rows = [form.instance] if self.model in versions.KINDS else []
        for formset in kept:
            rows += [*formset.new_objects, *(row for row, _names in formset.changed_objects)]
        for row in rows:
            versions.keep(row, by=request.user, why=self.why(form))

    # What comes before saving: a draft instead, or a word of warning.

    def changeform_view(self, request, object_id=None, form_url="", extra_context=None):
        posted = request.method == "POST"
        new = not object_id or (posted and "_saveasnew" in request.POST)  # as Django takes it, on whatever page
        obj = None if new else self.get_object(request, unquote(object_id))
        asks = (obj or new) and self._asks_why(request, obj)
        shown = {"drafts": self._waiting(object_id) if object_id else []}
        if asks and self.model in versions.KINDS:
            shown |= {"silent": self.admin_site.why_silent(self.model), "tryout": self.admin_site.tryout(request)}
        if asks and posted and "_tryout" in request.POST:
            self._try(request, obj, shown["tryout"])
        elif asks and posted and (answer := self._instead(request, obj)):
            return answer
        return super().changeform_view(request, object_id, form_url, {**shown, **(extra_context or {})})

    def _try(self, request, obj, tryout) -> None:
        """Try what is typed in on a study. The page is shown again with the form as it is, which is never valid."""
        form, formsets = self._filled(request, obj)
        if not form.errors and all(formset.is_valid() for formset in formsets):
            tryout.try_on(self._wanted(form, formsets, new=True))

    def _filled(self, request, obj) -> tuple[forms.ModelForm, list]:
        """The form and the tables of the page as they came."""
        fields = flatten_fieldsets(self.get_fieldsets(request, obj))
        form = self.get_form(request, obj, change=obj is not None, fields=fields)(
            request.POST, request.FILES, instance=obj
        )
        formsets, _inlines = self._create_formsets(request, form.instance, change=obj is not None)
        return form, formsets

    def _waiting(self, object_id: str) -> list[PolicyDraft]:
        rows = PolicyDraft.objects.filter(kind=versions.kind_of(self.model), key=unquote(object_id))
        return list(rows.filter(state__in=drafts.WAITING).select_related("made_by"))

    def _instead(self, request, obj) -> HttpResponse | None:
        """The answer to a change that is not saved now: it becomes a draft, or is to be looked at first."""
        form, formsets = self._filled(request, obj)
        if not (form.is_valid() and all(formset.is_valid() for formset in formsets)):
            return None
        wanted = self._wanted(form, formsets, new=obj is None)
        said = form.cleaned_data
        day = said["effective_from"]
        waits = said["draft"] or bool(day and day > timezone.localdate())
        if "_rehearse" not in request.POST and (waits or any(drafts.needs_approval(one.model) for one in wanted)):
            return self._drafted(request, form, wanted)
        return self._warned(request, wanted)

    def _wanted(self, form, formsets, *, new: bool) -> list[Wanted]:
        rows = [Wanted.of(form.instance)] if self.model in versions.KINDS and (new or form.has_changed()) else []
        for formset in formsets:
            if formset.model in versions.KINDS:
                gone = formset.deleted_forms
                rows += [Wanted.of(one.instance, deleted=True) for one in gone if one.instance.pk]
                rows += [Wanted.of(one.instance) for one in formset.forms if one.has_changed() and one not in gone]
        return rows

    def _drafted(self, request, form, wanted: list[Wanted]) -> HttpResponse:
        said, written = form.cleaned_data, []
        day = said["effective_from"]
        start = timezone.make_aware(datetime.combine(day, time.min)) if day else None
        do = drafts.write if said["draft"] else drafts.change
        for one in wanted:
            written.append(do(one, by=request.user, why=self.why(form) or _("New."), effective_from=start))
        if self.model not in versions.KINDS and form.has_changed():
            self.message_user(request, _("What else was changed on the page is not saved."), messages.WARNING)
        return self.told_of(request, written)

    def told_of(self, request, written: list[PolicyDraft]) -> HttpResponse:
        """Say what became of a change, and lead to it."""
        for draft in written:
            if draft.problem:
                self.message_user(request, draft.problem, messages.ERROR)
                continue
            said = {
                drafts.State.DRAFT: _("'%s' is kept as a draft. Nothing has changed yet."),
                drafts.State.SUBMITTED: _("'%s' is not changed yet: a second person has to approve it."),
                drafts.State.APPROVED: _("'%s' is not changed yet: the change waits for its day."),
                drafts.State.IN_FORCE: _("'%s' is in force."),
            }[draft.state]
            self.message_user(request, said % draft.title, messages.SUCCESS)
        if len(written) == 1 and written[0].state != drafts.State.IN_FORCE:
            return HttpResponseRedirect(reverse("admin:policies_policydraft_change", args=[written[0].pk]))
        return HttpResponseRedirect(reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist"))

    def _warned(self, request, wanted: list[Wanted]) -> HttpResponse | None:
        """Ask once more when studies that are held now would be decided about otherwise; not when none would."""
        rehearsing = "_rehearse" in request.POST
        if "_confirmed" in request.POST and not rehearsing:
            return None
        found = self.admin_site.effects(request, wanted, past=rehearsing)
        if not (found.cases or rehearsing):
            return None
        again = [(name, value) for name, values in request.POST.lists() for value in values if name not in PRESSED]
        context = {
            **self.admin_site.each_context(request),
            "title": _("Rehearsal: nothing is saved yet") if rehearsing else _("This change touches studies"),
            "opts": self.opts,
            "wanted": [(one.title, self._changes(one)) for one in wanted],
            "found": found,
            "again": again,
            "back": request.get_full_path(),
            "action": next((name for name in ("_addanother", "_continue") if name in request.POST), "_save"),
        }
        return TemplateResponse(request, "admin/policies/effects.html", context)

    def _changes(self, wanted: Wanted) -> list[versions.Difference]:
        before = wanted.model._base_manager.filter(pk=wanted.key or None).first()
        return versions.differences(wanted.model, before and versions.columns_of(before), wanted.columns)

    def delete_view(self, request, object_id, extra_context=None):
        """What needs approval is deleted by a draft, too."""
        obj = self.get_object(request, unquote(object_id)) if drafts.needs_approval(self.model) else None
        if request.method == "POST" and obj and self.model in versions.KINDS:
            if not self.has_delete_permission(request, obj):
                raise PermissionDenied
            return self.told_of(
                request, [drafts.change(Wanted.of(obj, deleted=True), by=request.user, why=str(DELETED))]
            )
        return super().delete_view(request, object_id, extra_context)

    def get_actions(self, request):
        actions = super().get_actions(request)
        if drafts.needs_approval(self.model):
            actions.pop("delete_selected", None)
        return actions

    # The history of a rule.

    def get_urls(self):
        view = self.admin_site.admin_view(self.restore)
        name = f"{self.opts.app_label}_{self.opts.model_name}_restore"
        return [path("<path:object_id>/history/<int:number>/restore/", view, name=name), *super().get_urls()]

    def history_view(self, request, object_id, extra_context=None):
        if self.model not in versions.KINDS:
            return super().history_view(request, object_id, extra_context)
        if not self.has_view_permission(request):
            raise PermissionDenied
        rows = self._versions(object_id)
        if not rows:
            return super().history_view(request, object_id, extra_context)
        befores = [*rows[1:], None]
        shown = [
            (row, versions.differences(self.model, before and before.columns, row.columns))
            for row, before in zip(rows, befores, strict=True)
        ]
        context = {
            **self.admin_site.each_context(request),
            "title": _("History: %s") % rows[0].title,
            "opts": self.opts,
            "object": None if rows[0].columns is None else rows[0],
            "key": rows[0].key,
            "shown": shown,
            "may_restore": self.has_change_permission(request),
            "restore": f"admin:{self.opts.app_label}_{self.opts.model_name}_restore",
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/policies/history.html", context)

    def _versions(self, object_id: str) -> list[PolicyVersion]:
        """The newest first."""
        rows = PolicyVersion.objects.filter(kind=versions.kind_of(self.model), key=unquote(object_id))
        return list(rows.select_related("made_by", "approved_by").order_by("-number"))

    def restore(self, request: HttpRequest, object_id: str, number: int) -> HttpResponse:
        """A new version that says what an old one said."""
        if request.method != "POST" or not self.has_change_permission(request):
            raise PermissionDenied
        old = next((row for row in self._versions(object_id) if row.number == number), None)
        if old is None or old.columns is None:
            raise Http404
        why = request.POST.get("why", "").strip() or _("Version %s again.") % number
        if not (self.get_object(request, old.key) or self.has_add_permission(request)):
            raise PermissionDenied
        wanted = Wanted(self.model, old.key, versions.filled(self.model, old.columns), old.title)
        return self.told_of(request, [drafts.change(wanted, by=request.user, why=why)])
