"""People in the administration: their accounts, sessions and second factors. Nobody gives more than they have."""

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from allauth.usersessions.models import UserSession
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group
from django.utils.translation import gettext_lazy as _

from policies import audit
from policies.grants_admin import GrantInline
from policies.models import User
from policies.recorded import LookedAt, Recorded

# Mail is never sent, and the hospital's sign-in is set up by the environment.
admin.site.unregister(Group)
admin.site.unregister([EmailAddress, SocialApp, SocialToken, SocialAccount, UserSession, Authenticator])

ONLY_SUPERUSERS = ("is_superuser", "is_staff", "user_permissions")


@admin.register(Group)
class Groups(Recorded, GroupAdmin):
    """Which pages of the administration a group may open is for superusers to say."""

    inlines = [GrantInline]

    def get_readonly_fields(self, request, obj=None):
        fixed = tuple(super().get_readonly_fields(request, obj))
        return fixed if request.user.is_superuser else (*fixed, "permissions")

    def save_formset(self, request, form, formset, change):
        old = [str(grant) for grant in form.instance.grants.all()]
        super().save_formset(request, form, formset, change)
        if formset.has_changed():
            now = [str(grant) for grant in form.instance.grants.all()]
            audit.record(request.user, "change grants", form.instance, detail={"old": old, "new": now})


@admin.register(User)
class Users(Recorded, UserAdmin):
    """Who is no superuser may keep accounts of people who may do no more than themselves, and not their own."""

    list_display = ["username", "first_name", "last_name", "in_groups", "is_active", "is_staff", "last_login"]
    fieldsets = [
        (None, {"fields": ["username", "password"]}),
        (_("Who it is"), {"fields": ["first_name", "last_name", "email"]}),
        (
            _("What they may do"),
            {
                "fields": ["is_active", "groups", "is_staff", "is_superuser"],
                "description": _(
                    "A person may do what the grants of their groups say. Whoever leaves is made inactive and not "
                    "deleted: the ledger names them. 'Staff status' opens the administration, where each sees the "
                    "pages of their groups. A superuser may set everything and say who is in which group, and still "
                    "needs a grant to see or release a study."
                ),
            },
        ),
        (_("Since when"), {"fields": ["last_login", "date_joined"]}),
    ]
    readonly_fields = ["last_login", "date_joined"]

    def get_queryset(self, request):
        return super().get_queryset(request).prefetch_related("groups")

    @admin.display(description=_("groups"))
    def in_groups(self, person):
        return ", ".join(group.name for group in person.groups.all())

    def get_readonly_fields(self, request, obj=None):
        fixed = tuple(super().get_readonly_fields(request, obj))
        return fixed if request.user.is_superuser else (*fixed, *ONLY_SUPERUSERS)

    def formfield_for_manytomany(self, db_field, request, **kwargs):
        if db_field.name == "groups" and not request.user.is_superuser:
            kwargs["queryset"] = request.user.groups.all()
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def has_change_permission(self, request, obj=None):
        return super().has_change_permission(request, obj) and not (obj and above(obj, request.user))

    def has_delete_permission(self, request, obj=None):
        return super().has_delete_permission(request, obj) and not (obj and above(obj, request.user))

    def delete_queryset(self, request, queryset):
        """The action of the list asks nobody about each row; here it does."""
        super().delete_queryset(request, [one for one in queryset if self.has_delete_permission(request, one)])

    def user_change_password(self, request, id, form_url=""):
        response = super().user_change_password(request, id, form_url)
        if request.method == "POST" and response.status_code == 302:
            audit.record(request.user, "change password", self.get_object(request, id))
        return response

    def save_model(self, request, obj, form, change):
        """A closed account is signed in nowhere, and stays so when it is opened again."""
        super().save_model(request, obj, form, change)
        for session in UserSession.objects.filter(user=obj) if not obj.is_active else ():
            audit.record(request.user, "session ended", obj, reason="The account is closed.")
            session.end()

    def save_related(self, request, form, formsets, change):
        super().save_related(request, form, formsets, change)
        groups = [group.name for group in form.instance.groups.all()]
        audit.record(request.user, "change groups", form.instance, detail={"new": groups})


def above(one: User, other: User) -> bool:
    """Whether `other` must not touch the account of `one`: it is their own, or may do what theirs may not."""
    if other.is_superuser:
        return False
    if one.pk == other.pk or one.is_superuser or one.user_permissions.exists():
        return True
    return one.groups.exclude(pk__in=other.groups.values("pk")).exists()


class Removable(LookedAt):
    """To look at and to remove; each removal is in the ledger."""

    verb = ""

    def has_delete_permission(self, request, obj=None):
        return request.user.is_superuser

    def delete_model(self, request, obj):
        audit.record(request.user, self.verb, obj.user)
        super().delete_model(request, obj)

    def delete_queryset(self, request, queryset):
        for obj in queryset:
            self.delete_model(request, obj)


@admin.register(UserSession)
class Sessions(Removable):
    """Who is signed in from where. Deleting one signs its person out there."""

    verb = "session ended"
    list_display = ["user", "ip", "user_agent", "created_at"]
    fields = ["user", "ip", "user_agent", "created_at"]
    search_fields = ["user__username", "ip"]

    def delete_model(self, request, obj):
        obj._session_store().delete(obj.session_key)
        super().delete_model(request, obj)


@admin.register(Authenticator)
class SecondFactors(Removable):
    """Second factors. Delete all of a person who has lost theirs: the portal lets them set up a new one."""

    verb = "remove second factor"
    list_display = ["user", "kind", "created_at", "last_used_at"]
    fields = ["user", "kind", "created_at", "last_used_at"]
    search_fields = ["user__username"]

    @admin.display(description=_("kind"))
    def kind(self, factor):
        return factor.get_type_display()


@admin.register(SocialAccount)
class Links(Removable):
    """Whom the hospital's sign-in stands for here."""

    verb = "unlink account"
    list_display = ["user", "uid", "last_login", "date_joined"]
    fields = ["user", "uid", "last_login", "date_joined"]
    search_fields = ["user__username", "uid"]
