"""Partners: where studies come from, where they go, and who assigns identifiers."""

from django import forms
from django.contrib import admin
from django.contrib.admin.templatetags.admin_urls import admin_urlname
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext_lazy as _

from policies import audit
from policies.callers import sent_by
from policies.models import AssigningAuthority, AuthorityAlias, Organisation, Source, SourceSystem, StowClient, User
from policies.recorded import Recorded
from policies.rules import senders
from policies.rules.senders import Shown
from policies.versioned import Uncut


@admin.register(Organisation)
class Organisations(Recorded):
    list_display = ["name", "kind", "contact", "phone", "mail"]
    list_filter = ["kind"]
    search_fields = ["name", "contact", "mail", "sources__name", "destinations__name"]
    fieldsets = [
        (None, {"fields": ["name", "kind"]}),
        (
            _("Whom to ask"),
            {
                "fields": ["contact", "phone", "mail", "address"],
                "description": _("Letters and questions about missing images go here."),
            },
        ),
        (_("Its systems"), {"fields": ["systems"]}),
        (_("Notes"), {"fields": ["notes"]}),
    ]
    readonly_fields = ["systems"]

    @admin.display(description=_("in this portal"))
    def systems(self, organisation):
        """Whatever has a page here and is said to be of this organisation: the other rooms are not named for it."""
        kinds = [one for one in Organisation._meta.related_objects if admin.site.is_registered(one.related_model)]
        rows = [row for one in kinds for row in one.related_model.objects.filter(**{one.field.name: organisation})]
        lines = [(reverse(admin_urlname(row._meta, "change"), args=[row.pk]), row, _kind(row)) for row in rows]
        shown = format_html_join("", '<li><a href="{}">{}</a> ({})</li>', lines)
        return format_html('<ul class="systems">{}</ul>', shown) if lines else "-"


def _kind(row: models.Model) -> str:
    """What a system is: a destination says it more closely."""
    name = str(row._meta.verbose_name)
    return f"{name}, {row.get_kind_display()}" if hasattr(row, "get_kind_display") else name


class SystemInline(Uncut, admin.StackedInline):  # each field with a label of its own, which a table has not
    model = SourceSystem
    extra = 0
    fields = [("ae_title", "network", "certificate")]


class ClientForm(forms.ModelForm):
    """An account is entered that is here; a file may name one that is made later."""

    def clean_account(self):
        account = self.cleaned_data["account"].strip()
        if account and not User.objects.filter(username=account).exists():
            raise forms.ValidationError(_("There is no account '%s'. An administrator makes it first.") % account)
        return account


class ClientInline(Uncut, admin.StackedInline):
    model = StowClient
    form = ClientForm
    extra = 0
    fields = [("account", "network", "certificate")]


class Caller(forms.Form):
    """What somebody who calls shows of themselves."""

    ae_title = forms.CharField(label=_("AE title"), required=False, max_length=16, help_text=_("Calls by DICOM."))
    account = forms.CharField(
        label=_("Account"),
        required=False,
        max_length=150,
        help_text=_("Calls by DICOMweb, with its token."),
    )
    address = forms.GenericIPAddressField(label=_("From the address"))
    certificate = forms.CharField(
        label=_("Certificate"), required=False, max_length=255, help_text=_("A name in it, or its SHA-256 fingerprint.")
    )

    def clean(self):
        said = super().clean()
        if said.get("ae_title") and said.get("account"):
            self.add_error("account", _("Say the AE title or the account: nobody shows both."))
        return said

    def shown(self) -> Shown:
        said = self.cleaned_data
        certificate = senders.certificate(said["certificate"])
        return Shown(
            said["ae_title"],
            said["address"],
            names=(certificate,) if certificate else (),
            fingerprint=certificate,
            account=said["account"],
        )


@admin.register(Source)
class Sources(Recorded):
    change_list_template = "admin/policies/source/change_list.html"
    list_display = ["name", "organisation", "ae_title", "address", "further", "issuer", "category", "active"]
    list_filter = ["active", "trust", "category", "organisation"]
    list_select_related = ["organisation"]
    search_fields = ["name", "ae_title", "issuer", "systems__ae_title", "clients__account", "organisation__name"]
    inlines = [SystemInline, ClientInline]
    fieldsets = [
        (None, {"fields": ["name", "organisation", "active"]}),
        (
            _("What its studies are"),
            {
                "fields": ["issuer", "category", "trust"],
                "description": _("This holds for whatever it sends, by whatever door."),
            },
        ),
        (
            _("What the desk is offered"),
            {
                "fields": ["intent", "requester"],
                "description": _("Already filled in where the desk decides, and marked as coming from the source."),
            },
        ),
        (
            _("Who may call as this source"),
            {
                "fields": ["ae_title", "address", "certificate"],
                "description": _(
                    "Its DICOM sender is known by its AE title, and by its address and certificate if you give them. "
                    "Anybody can claim an AE title: give an address wherever you can. Others are refused before they "
                    "can send anything, and the refusal is in the ledger. Further scanners, and clients that send by "
                    "DICOMweb, are listed below."
                ),
            },
        ),
    ]

    def get_urls(self):
        view = self.admin_site.admin_view(self.try_out)
        return [path("try/", view, name="policies_source_try"), *super().get_urls()]

    def try_out(self, request: HttpRequest) -> TemplateResponse:
        """Which source a caller would be taken for, or why for none. Nobody is called."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        form = Caller(request.GET or None)
        source, why = sent_by(form.shown()) if form.is_valid() else (None, "")
        context = {**self.admin_site.each_context(request), "title": _("Who would this be?"), "opts": self.opts}
        context |= {"form": form, "source": source, "why": why}
        return TemplateResponse(request, "admin/policies/source/try.html", context)

    def get_queryset(self, request):
        return super().get_queryset(request).prefetch_related("systems", "clients")

    @admin.display(description=_("further senders"))
    def further(self, source):
        return ", ".join(str(one) for one in [*source.systems.all(), *source.clients.all()])

    def save_formset(self, request, form, formset, change):
        old = _senders(form.instance)
        super().save_formset(request, form, formset, change)
        if formset.has_changed():
            detail = {"old": old, "new": _senders(form.instance)}
            audit.record(request.user, "change senders", form.instance, detail=detail)


def _senders(source: Source) -> list[str]:
    by_dicom = SourceSystem.objects.filter(source=source).values_list("ae_title", "network", "certificate")
    by_web = StowClient.objects.filter(source=source).values_list("account", "network", "certificate")
    return [" ".join(filter(None, row)) for row in [*by_dicom, *by_web]]


class AliasInline(admin.TabularInline):
    model = AuthorityAlias
    extra = 1


@admin.register(AssigningAuthority)
class AssigningAuthorities(Recorded):
    """Identifier domains. Studies that wait are compared anew when one changes."""

    list_display = ["namespace_id", "universal_id", "local", "trusted", "also_called"]
    list_filter = ["local", "trusted"]
    search_fields = ["namespace_id", "universal_id", "aliases__name"]
    inlines = [AliasInline]
    fieldsets = [
        (
            None,
            {
                "fields": ["namespace_id", "universal_id", "universal_id_type"],
                "description": _(
                    "Who issues patient IDs. Two systems may write one issuer differently: list its other names as "
                    "aliases, and numbers under any of them are numbers of this issuer."
                ),
            },
        ),
        (_("What its numbers are worth"), {"fields": ["local", "trusted"]}),
    ]

    def get_queryset(self, request):
        return super().get_queryset(request).prefetch_related("aliases")

    @admin.display(description=_("also called"))
    def also_called(self, authority):
        return ", ".join(str(alias) for alias in authority.aliases.all())

    def save_formset(self, request, form, formset, change):
        old = _aliases(form.instance)
        super().save_formset(request, form, formset, change)
        if formset.has_changed():
            detail = {"old": old, "new": _aliases(form.instance)}
            audit.record(request.user, "change aliases", form.instance, detail=detail)


def _aliases(authority: AssigningAuthority) -> list[str]:
    return [str(alias) for alias in AuthorityAlias.objects.filter(authority=authority)]
