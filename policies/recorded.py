"""Pages of the administration whose changes the ledger keeps, and pages that are only looked at."""

from django.contrib import admin

from policies import audit, versions
from policies.versioned import DELETED, Versioned

SECRET = {"password"}


class Recorded(Versioned):
    """Every change of a policy is in the ledger, with the old and the new values; of a rule a version is kept too."""

    def save_model(self, request, obj, form, change):
        columns = {field.name for field in obj._meta.get_fields()} - SECRET  # a form may ask for more than these
        changed = [name for name in form.changed_data if name in columns]
        before = type(obj).objects.filter(pk=obj.pk).values(*changed).first() if change else None
        super().save_model(request, obj, form, change)
        detail = {"old": _plain(before or {}), "new": _plain({name: form.cleaned_data[name] for name in changed})}
        audit.record(request.user, "change" if change else "add", obj, reason=self.why(form), detail=detail)

    def delete_model(self, request, obj):
        audit.record(request.user, "delete", obj)
        versions.remove(obj, by=request.user, why=str(DELETED))  # the grants of a group are rules too

    def delete_queryset(self, request, queryset):
        for obj in queryset:
            self.delete_model(request, obj)


class LookedAt(admin.ModelAdmin):
    """Nothing here is added, changed or deleted by hand."""

    show_full_result_count = False

    def has_add_permission(self, request):
        return False

    def has_change_permission(self, request, obj=None):
        return False

    def has_delete_permission(self, request, obj=None):
        return False


def _plain(values: dict) -> dict[str, str]:
    return {name: str(value) for name, value in values.items()}
