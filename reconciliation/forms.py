"""What the forms of the desk hand to the verbs: read and typed here, judged there."""

import uuid

from django import forms
from django.http import HttpRequest

from orders.models import Order, Patient
from policies.consent import Basis, Given, Purpose
from policies.models import Destination, Procedure, Reason, RetentionRule, a_person
from policies.problems import Invalid
from reconciliation import renaming
from reconciliation.models import ConsentEvidence
from reconciliation.renaming import Doubled

OVERRIDE = "override-"  # before the code of a finding, in the name of its field


def version(request: HttpRequest) -> int:
    """The version of the study that the page showed: what was decided was decided on that one."""
    given = request.POST.get("version", "")
    if not given.isascii() or not given.isdigit():
        raise Invalid("This form does not say which version of the study it was made for. Load the page again.")
    return int(given)


def read(form: forms.Form) -> dict:
    """The values of a form, or `Invalid` with what is wrong with the first field that is."""
    if form.is_valid():
        return form.cleaned_data
    name, errors = next(iter(form.errors.items()))
    raise Invalid(f"{form.fields[name].label}: {errors[0]}")


def chosen(text: str) -> Order | Patient | None:
    """The order or patient that "order:<key>" or "patient:<key>" names; None for what is not known here."""
    kind, _, key = text.partition(":")
    model = {"order": Order, "patient": Patient}.get(kind)
    try:
        return model and model.objects.filter(pk=uuid.UUID(key)).first()
    except ValueError:
        return None


class Choice(forms.Form):
    """The candidate chosen ("order:<key>" or "patient:<key>") and the intent; neither has a default."""

    choice = forms.CharField(label="Candidate", error_messages={"required": "Choose an order or a patient first."})
    intent = forms.CharField(
        label="Purpose", error_messages={"required": "Say whether the study is for reference or to be read here."}
    )

    shown = forms.CharField(required=False)
    new_uids = forms.BooleanField(label="New UIDs", required=False)
    doubled = forms.ChoiceField(label="Two contents", choices=Doubled.choices, required=False)

    def uids(self) -> renaming.Choice:
        return renaming.Choice(self.cleaned_data["new_uids"], self.cleaned_data["doubled"])

    def clean_choice(self) -> dict[str, Order | Patient]:
        """As the verbs take it: `order=` or `patient=`."""
        found = chosen(self.cleaned_data["choice"])
        if found is None:
            raise forms.ValidationError("This one is not known here any more. Load the page again.")
        return {found._meta.model_name: found}


class Clearance(forms.Form):
    """Consent as it was given, or one given before, and the retention rule when it is not the proposed one."""

    again = forms.UUIDField(label="Consent", required=False)
    basis = forms.ChoiceField(label="Basis", choices=Basis, required=False)
    given_by = forms.CharField(label="Given by", max_length=200, required=False)
    relation = forms.CharField(label="Relation", max_length=64, required=False)
    given_on = forms.DateField(label="Given on", required=False)
    evidence = forms.CharField(label="Evidence", max_length=2000, required=False)
    form_number = forms.CharField(label="Form number", max_length=64, required=False)
    witness = forms.CharField(label="Witness", max_length=200, required=False)
    scan = forms.FileField(label="Scanned form", required=False)
    scope = forms.MultipleChoiceField(label="May be used for", choices=Purpose, required=False)
    until = forms.DateField(label="Valid until", required=False)
    rule = forms.ModelChoiceField(RetentionRule.objects.filter(active=True), label="Retention", required=False)
    rule_reason = forms.CharField(label="Reason", max_length=2000, required=False)

    def clean(self) -> dict:
        said = super().clean()
        if "basis" in said and not (said["basis"] or said.get("again")):
            self.add_error("basis", "Choose one.")
        return said

    def given(self, scan: ConsentEvidence | None = None) -> Given:
        said = {name: self.cleaned_data[name] for name in Given._fields}
        return Given(**said | {"scope": tuple(said["scope"]), "scan": scan})

    def overrides(self) -> dict[str, str]:
        """Code of a finding to the reason for going on; a field left empty overrides nothing."""
        fields = {name: text for name, text in self.data.items() if name.startswith(OVERRIDE) and text.strip()}
        return {name.removeprefix(OVERRIDE): text.strip() for name, text in fields.items()}


class Withdrawal(forms.Form):
    given_by = forms.CharField(label="Withdrawn by", max_length=200, required=False)
    reason = forms.CharField(label="Why", max_length=2000, required=False)


class Release(forms.Form):
    to = forms.ModelMultipleChoiceField(
        Destination.objects.all(), label="Destination", error_messages={"required": "Choose at least one."}
    )


class Rejection(forms.Form):
    reason = forms.ModelChoiceField(
        Reason.objects.all(), label="Reason", error_messages={"required": "Choose why the study is rejected."}
    )
    comment = forms.CharField(label="Comment", max_length=2000, required=False)


class Approval(forms.Form):
    study = forms.TypedMultipleChoiceField(label="Studies", coerce=uuid.UUID, required=False)
    reason = forms.CharField(
        label="Reason",
        max_length=2000,
        error_messages={"required": "Say why these may be deleted: the ledger keeps it with your name."},
    )

    def __init__(self, data):
        super().__init__(data)
        self.fields["study"].choices = [(key, key) for key in data.getlist("study")]


class Agreement(forms.Form):
    decision = forms.TypedMultipleChoiceField(label="Decisions", coerce=uuid.UUID, required=False)

    def __init__(self, data):
        super().__init__(data)
        self.fields["decision"].choices = [(key, key) for key in data.getlist("decision")]


class Hold(forms.Form):
    reason = forms.CharField(label="Reason", max_length=2000, error_messages={"required": "Say why it must be kept."})
    whole_patient = forms.BooleanField(label="Everything of this patient", required=False)


class Rescue(forms.Form):
    rule = forms.ModelChoiceField(RetentionRule.objects.filter(active=True), label="Rule")
    reason = forms.CharField(
        label="Reason", max_length=2000, error_messages={"required": "Say why this study is kept by another rule."}
    )


class Generation(forms.Form):
    patient = forms.ModelChoiceField(Patient.objects.all(), label="Patient")
    procedure = forms.ModelChoiceField(
        Procedure.objects.all(),
        label="Procedure",
        error_messages={"required": "Choose the procedure of the new order."},
    )
    requester = forms.CharField(label="Requested by", max_length=194, required=False, validators=[a_person])


class ToldAgain(forms.Form):
    notice = forms.UUIDField(label="Notice")


class Again(forms.Form):
    delivery = forms.UUIDField(label="Delivery")
