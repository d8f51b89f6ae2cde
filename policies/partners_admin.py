"""Partners: where studies come from, where they go, and who assigns identifiers."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from policies import audit
from policies.models import AssigningAuthority, AuthorityAlias, Organisation, Source, SourceSystem
from policies.recorded import Recorded


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
        (_("Notes"), {"fields": ["notes"]}),
    ]


class SystemInline(admin.StackedInline):  # each field with a label of its own, which a table has not
    model = SourceSystem
    extra = 0
    fields = [("ae_title", "network", "certificate")]


@admin.register(Source)
class Sources(Recorded):
    list_display = ["name", "organisation", "ae_title", "address", "further", "issuer", "category", "active"]
    list_filter = ["active", "trust", "category", "organisation"]
    list_select_related = ["organisation"]
    search_fields = ["name", "ae_title", "issuer", "systems__ae_title", "organisation__name"]
    inlines = [SystemInline]
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
            _("Who may call as this source"),
            {
                "fields": ["ae_title", "address", "certificate"],
                "description": _(
                    "Its DICOM sender is known by its AE title, and by its address and certificate if you give them. "
                    "Anybody can claim an AE title: give an address wherever you can. Others are refused before they "
                    "can send anything, and the refusal is in the ledger. Further scanners are listed below."
                ),
            },
        ),
    ]

    def get_queryset(self, request):
        return super().get_queryset(request).prefetch_related("systems")

    @admin.display(description=_("further senders"))
    def further(self, source):
        return ", ".join(str(system) for system in source.systems.all())

    def save_formset(self, request, form, formset, change):
        old = _senders(form.instance)
        super().save_formset(request, form, formset, change)
        if formset.has_changed():
            detail = {"old": old, "new": _senders(form.instance)}
            audit.record(request.user, "change senders", form.instance, detail=detail)


def _senders(source: Source) -> list[str]:
    rows = SourceSystem.objects.filter(source=source).values_list("ae_title", "network", "certificate")
    return [" ".join(filter(None, row)) for row in rows]


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
