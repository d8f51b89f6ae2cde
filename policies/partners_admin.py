"""Partners: where studies come from, where they go, and who assigns identifiers."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from policies import audit
from policies.models import AssigningAuthority, AuthorityAlias, Destination, Source
from policies.recorded import Recorded


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
