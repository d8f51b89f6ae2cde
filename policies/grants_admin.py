"""The pages on which powers are given: nobody gives more than is theirs to give, nor anything to themselves."""

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from policies import authority, versions
from policies.models import Grant, SecondPerson, User
from policies.recorded import Recorded

SCOPE = (_("Over which studies"), {"fields": ["source", "destination", "modality", "intent", "category"]})


class GrantForm(forms.ModelForm):
    """Asks whether the person at the page may give what they give, and whether what it was is theirs to take back."""

    by: User  # set for the request

    def _post_clean(self):
        """After the row is made of what was entered: what is wrong in itself is said first."""
        before = Grant.objects.filter(pk=self.instance.pk).first()
        super()._post_clean()
        if self.errors or not self.has_changed():
            return
        if barred := authority.why_not_regrant(self.by, before, self.instance):
            self.add_error(None, barred)


class GrantFormSet(forms.BaseInlineFormSet):
    """What is ticked to be deleted is taken back: that too must be theirs."""

    def clean(self):
        super().clean()
        for form in self.deleted_forms:
            if form.instance.pk and (barred := _why_not_take_back(form.by, form.instance)):
                raise ValidationError(barred)


def _why_not_take_back(user: User, grant: Grant) -> str:
    return authority.why_not_pass_on(user, grant, taking_back=True)


class OfTheirs(admin.options.BaseModelAdmin):
    """Who may give powers may open the page; what they may give is asked grant by grant."""

    def has_add_permission(self, request: HttpRequest, obj=None) -> bool:
        return authority.passes_on(request.user)

    def has_view_permission(self, request: HttpRequest, obj=None) -> bool:
        return super().has_view_permission(request, obj) or authority.passes_on(request.user)


class GrantInline(OfTheirs, admin.TabularInline):
    model = Grant
    form = GrantForm
    formset = GrantFormSet
    extra = 0

    def get_formset(self, request, obj=None, **kwargs):
        return super().get_formset(request, obj, form=_asked_by(request.user), **kwargs)

    def has_change_permission(self, request, obj=None):
        return authority.passes_on(request.user)

    has_delete_permission = has_change_permission


@admin.register(Grant)
class Grants(OfTheirs, Recorded):
    form = GrantForm
    list_display = ["group", "power", "source", "destination", "modality", "intent", "category", "days", "may_pass_on"]
    list_filter = ["group", "power", "source", "category", "may_pass_on"]
    list_select_related = True
    fieldsets = [
        (
            None,
            {
                "fields": ["group", "power"],
                "description": _(
                    "One group may do one thing. What is left empty below limits nothing; a study of several "
                    "modalities needs a grant for each of them, or one for all."
                ),
            },
        ),
        SCOPE,
        (_("From when, until when, and whether to others"), {"fields": ["valid_from", "valid_until", "may_pass_on"]}),
    ]

    @admin.display(description=_("days"))
    def days(self, grant):
        ends = [grant.valid_from and f"from {grant.valid_from:%Y-%m-%d}"]
        ends += [grant.valid_until and f"until {grant.valid_until:%Y-%m-%d}"]
        return " ".join(filter(None, ends)) or "-"

    def get_form(self, request, obj=None, change=False, **kwargs):
        return super().get_form(request, obj, change, form=_asked_by(request.user), **kwargs)

    def has_module_permission(self, request):
        return super().has_module_permission(request) or authority.passes_on(request.user)

    def has_change_permission(self, request, obj=None):
        if obj is None:
            return authority.passes_on(request.user)
        return not _why_not_take_back(request.user, obj)

    has_delete_permission = has_change_permission


def _asked_by(user: User) -> type[GrantForm]:
    return type("GrantForm", (GrantForm,), {"by": user})


class SecondPersonForm(forms.ModelForm):
    kind = forms.ChoiceField(
        label=_("Kind of rule"),
        required=False,
        help_text=SecondPerson._meta.get_field("kind").help_text,
        choices=lambda: [("", _("every kind")), *sorted((one._meta.model_name, _named(one)) for one in versions.KINDS)],
    )


def _named(model) -> str:
    return str(model._meta.verbose_name).capitalize()


@admin.register(SecondPerson)
class SecondPersons(Recorded):
    """Where two must agree."""

    form = SecondPersonForm
    list_display = ["power", "kind", "source", "destination", "modality", "intent", "category", "active"]
    list_filter = ["power", "active", "source"]
    list_select_related = True
    fieldsets = [
        (
            None,
            {
                "fields": ["power", "active"],
                "description": _(
                    "One person asks or does, a second, different person who holds the same power agrees or declines. "
                    "What is left empty below limits nothing; one rule that fits is enough. "
                    "Overrides: a study in which something was overridden is released when somebody else, who may "
                    "override too, takes part. Setting policy: a change waits as a draft until somebody else, who "
                    "may approve policy, approves it; so do changes of this list, while such a rule is in force."
                ),
            },
        ),
        SCOPE,
        (_("For setting policy"), {"fields": ["kind"]}),
    ]
