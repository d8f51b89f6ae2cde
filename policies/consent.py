"""What a recorded consent must say before it suffices."""

from datetime import date

from django.db import models
from django.utils.translation import gettext_lazy as _

from policies.problems import Invalid


class Basis(models.TextChoices):
    PATIENT = "patient", _("Consent of the patient")
    GUARDIAN = "guardian", _("Consent of a guardian")
    TREATMENT = "treatment", _("Needed for treatment")
    LEGAL = "legal duty", _("Legal duty")


class Purpose(models.TextChoices):
    CARE = "care", _("Care of this patient")
    TEACHING = "teaching", _("Teaching")
    RESEARCH = "research", _("Research")


def require_sufficient(
    *, basis: str, given_by: str, evidence: str, scope: list[str], until: date | None, today: date
) -> None:
    """Raise `Invalid` with what is missing. A consent names who gave it; every basis needs its evidence in words."""
    if basis not in Basis.values:
        raise Invalid(f"Choose the basis of the consent: {', '.join(Basis.values)}.")
    if basis in (Basis.PATIENT, Basis.GUARDIAN) and not given_by.strip():
        raise Invalid("Say who gave the consent.")
    if not evidence.strip():
        raise Invalid(
            "Write down the evidence: the form number, who witnessed it, or the treatment or duty it rests on."
        )
    if not scope:
        raise Invalid("Say what the images may be used for.")
    if unknown := set(scope) - set(Purpose.values):
        raise Invalid(f"Unknown purpose: {', '.join(sorted(unknown))}. Known ones: {', '.join(Purpose.values)}.")
    if until and until < today:
        raise Invalid(f"This consent ended on {until:%Y-%m-%d}.")
