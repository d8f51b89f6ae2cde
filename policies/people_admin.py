"""Who may do what: groups with their grants, and the people in them."""

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group

from policies import audit
from policies.grants_admin import GrantInline
from policies.models import User
from policies.recorded import Recorded

admin.site.unregister(Group)


@admin.register(Group)
class Groups(Recorded, GroupAdmin):
    inlines = [GrantInline]

    def save_formset(self, request, form, formset, change):
        old = [str(grant) for grant in form.instance.grants.all()]
        super().save_formset(request, form, formset, change)
        if formset.has_changed():
            now = [str(grant) for grant in form.instance.grants.all()]
            audit.record(request.user, "change grants", form.instance, detail={"old": old, "new": now})


@admin.register(User)
class Users(Recorded, UserAdmin):
    list_display = ["username", "first_name", "last_name", "is_active", "is_staff"]

    def user_change_password(self, request, id, form_url=""):
        response = super().user_change_password(request, id, form_url)
        if request.method == "POST" and response.status_code == 302:
            audit.record(request.user, "change password", self.get_object(request, id))
        return response

    def save_related(self, request, form, formsets, change):
        super().save_related(request, form, formsets, change)
        groups = [group.name for group in form.instance.groups.all()]
        audit.record(request.user, "change groups", form.instance, detail={"new": groups})
