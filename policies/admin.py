"""The managers' pages: partners, grants, procedures, retention rules, reasons; the ledger to look at."""

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin
from django.contrib.auth.models import Group
from django.utils.translation import gettext_lazy as _
from django_q.models import Failure, OrmQ, Schedule, Success
from rest_framework.authtoken.models import TokenProxy

from policies import audit, people_admin  # noqa: F401 - further pages
from policies.models import (
    AssigningAuthority,
    AuthorityAlias,
    Destination,
    Grant,
    LedgerLine,
    Procedure,
    Reason,
    RetentionRule,
    Source,
)
from policies.recorded import LookedAt, Recorded

admin.site.site_header = "Outside images: administration"
admin.site.site_title = "Outside images"
admin.site.index_title = "Policies and partners"


admin.site.unregister(Group)
# A schedule of the worker names any function, and a token is its owner: neither is made by clicking.
admin.site.unregister([Failure, OrmQ, Schedule, Success, TokenProxy])


class GrantInline(admin.TabularInline):
    model = Grant
    extra = 0


@admin.register(Group)
class Groups(Recorded, GroupAdmin):
    inlines = [GrantInline]

    def save_formset(self, request, form, formset, change):
        super().save_formset(request, form, formset, change)
        if formset.has_changed():
            now = [str(grant) for grant in form.instance.grants.all()]
            audit.record(request.user, "change grants", form.instance, detail={"new": now})


@admin.register(Source)
class Sources(Recorded):
    list_display = ["name", "ae_title", "address", "issuer", "active"]
    list_filter = ["active"]
    search_fields = ["name", "ae_title", "issuer"]


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


@admin.register(Destination)
class Destinations(Recorded):
    list_display = ["name", "protocol", "ae_title", "host", "port", "proof", "offered", "active"]
    list_filter = ["active", "protocol", "proof"]
    search_fields = ["name", "ae_title", "host", "stow_url"]
    fieldsets = [
        (None, {"fields": ["name", "protocol", "offered", "active"]}),
        (_("DICOM"), {"fields": ["ae_title", "host", "port", "associations"]}),
        (_("DICOMweb"), {"fields": ["stow_url", "credentials"]}),
        (_("Proof of delivery"), {"fields": ["proof", "commitment_patience", "query_url", "query_ae_title"]}),
    ]


@admin.register(Grant)
class Grants(Recorded):
    list_display = ["group", "power", "source", "destination"]
    list_filter = ["group", "power", "source"]
    list_select_related = True


@admin.register(Procedure)
class Procedures(Recorded):
    list_display = ["meaning", "code", "scheme", "modality", "active"]
    list_filter = ["modality", "active"]
    search_fields = ["meaning", "code"]


@admin.register(RetentionRule)
class RetentionRules(Recorded):
    list_display = ["name", "priority", "source", "modality", "intent", "period", "active"]
    list_filter = ["active", "intent", "source"]
    search_fields = ["name"]


@admin.register(Reason)
class Reasons(Recorded):
    list_display = ["code", "sentence", "active"]
    search_fields = ["code", "sentence"]


@admin.register(LedgerLine)
class Ledger(LookedAt):
    """To look at only; the database refuses changes anyway."""

    list_display = ["at", "actor", "verb", "subject", "subject_label", "reason", "address"]
    list_filter = ["verb", "subject"]
    search_fields = ["actor", "subject_key", "subject_label"]
