"""The people whom the hospital knows, their identifiers, and how those hang together."""

import uuid

from django.core.validators import RegexValidator
from django.db import models, transaction
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from policies.rules import blocking
from policies.rules.names import name_key

person_name = RegexValidator(r"^[^\\\x00-\x1f]+$", _("A name has no backslash and no control character."))
plain_text = RegexValidator(r"^[^\\\x00-\x1f]*$", _("No backslash and no control character here."))


class Patient(models.Model):
    """A person whom the hospital knows."""

    class Sex(models.TextChoices):
        MALE = "M", _("male")
        FEMALE = "F", _("female")
        OTHER = "O", _("other")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(
        max_length=194,
        validators=[person_name],
        help_text=_("As DICOM writes it: Family^Given^Middle, other scripts after '='."),
    )
    name_key = models.CharField(max_length=194, editable=False, db_index=True)
    birth_date = models.DateField(null=True, blank=True)
    sex = models.CharField(max_length=1, choices=Sex, blank=True)
    told = models.JSONField(
        default=dict, editable=False, help_text=_("By column: what messages said last, and when they said it.")
    )
    apart = models.BooleanField(
        default=False,
        editable=False,
        help_text=_("Known by a prefixed number of somebody else's alone: its studies are read for others."),
    )
    merged_into = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, editable=False, related_name="absorbed"
    )
    changed_at = models.DateTimeField(auto_now=True, db_index=True)

    class Meta:
        ordering = ["name_key"]
        indexes = [models.Index(fields=["birth_date", "sex"])]

    def __str__(self):
        written = next(filter(None, self.name.split("=")), "")  # some have a name in one script only
        name = written.replace("^", " ").strip() or str(_("name not told yet"))
        return f"{name}, {self.birth_date:%Y-%m-%d}" if self.birth_date else name

    def save(self, **kwargs):
        self.name_key = name_key(self.name)[:194]  # some letters fold into many
        columns = kwargs.get("update_fields")
        if columns is not None:
            kwargs["update_fields"] = {*columns, "name_key", "changed_at"}
        with transaction.atomic():
            super().save(**kwargs)
            if columns is None or {"name", "birth_date"} & set(columns):
                PatientKey.keep(self)

    def clean(self):
        """People write "Family, Given"; DICOM writes Family^Given."""
        if "^" not in self.name and "," in self.name:
            self.name = "^".join(part.strip() for part in self.name.split(",", 1))

    def audited(self) -> dict:
        """Which patient a line of the ledger is about."""
        return {"patient_key": str(self.pk), "patient_name": self.name}

    @property
    def birth_date_da(self) -> str:
        """The birth date as DICOM DA (`YYYYMMDD`), "" when unknown."""
        return f"{self.birth_date:%Y%m%d}" if self.birth_date else ""

    def identifier(self) -> "Identifier | None":
        """The identifier that goes into Patient ID: the primary one, else the oldest, and none of a merged record."""
        return min(
            self.identifiers.all(), key=lambda one: (one.own_id is not None, not one.primary, one.pk), default=None
        )


class Identifier(models.Model):
    """What an assigning authority calls a patient: a value never stands without its issuer (HL7 CX.4)."""

    patient = models.ForeignKey(Patient, models.CASCADE, related_name="identifiers")
    own = models.ForeignKey(
        Patient,
        models.CASCADE,
        null=True,
        editable=False,
        related_name="+",
        help_text=_("Whose it was before a merge; it goes back there when the merge is undone."),
    )
    value = models.CharField(max_length=64, validators=[plain_text])
    issuer = models.CharField(
        max_length=64, validators=[plain_text], help_text=_("Assigning authority, namespace ID (CX.4.1).")
    )
    universal_id = models.CharField(max_length=128, blank=True, help_text=_("Its OID or other universal ID (CX.4.2)."))
    universal_id_type = models.CharField(max_length=8, blank=True, help_text=_("ISO, UUID, DNS, ... (CX.4.3)."))
    primary = models.BooleanField(default=False, help_text=_("The one that goes into Patient ID of released objects."))
    since = models.CharField(
        max_length=250,
        blank=True,
        editable=False,
        help_text=_("The stamp of the message that first gave it to this patient; empty: entered by hand."),
    )

    class Meta:
        ordering = ["-primary", "id"]
        constraints = [models.UniqueConstraint(name="an_issuer_gives_an_id_once", fields=["issuer", "value"])]
        indexes = [models.Index(fields=["value"])]

    def __str__(self):
        return f"{self.value} ({self.issuer})"


class Claim(models.Model):
    """An identifier that messages give to this patient while it is another one's: people have to find out whose."""

    patient = models.ForeignKey(Patient, models.CASCADE, related_name="claims")
    value = models.CharField(max_length=64)
    issuer = models.CharField(max_length=64)
    since = models.CharField(max_length=250)

    class Meta:
        verbose_name = _("shared identifier")
        constraints = [models.UniqueConstraint(name="a_claim_is_made_once", fields=["issuer", "value", "patient"])]

    def __str__(self):
        return f"{self.value} ({self.issuer})"


class PatientKey(models.Model):
    """A key under which a patient is found when candidates are looked for: made of the name and the birth date.

    Written by `Patient.save`; whoever writes patients in bulk calls `manage.py rekey` afterwards.
    """

    patient = models.ForeignKey(Patient, models.CASCADE, related_name="keys")
    key = models.CharField(max_length=64)

    class Meta:
        constraints = [models.UniqueConstraint(name="a_key_leads_to_a_patient_once", fields=["key", "patient"])]

    def __str__(self):
        return self.key

    @classmethod
    def keep(cls, patient: Patient) -> None:
        """Bring a patient's keys up to date; only what is new or gone is written."""
        wanted = blocking.keys(patient.name, patient.birth_date_da)
        kept = set(cls.objects.filter(patient=patient).values_list("key", flat=True))
        if gone := kept - wanted:
            cls.objects.filter(patient=patient, key__in=gone).delete()
        new = [cls(patient=patient, key=key) for key in sorted(wanted - kept)]
        cls.objects.bulk_create(new, ignore_conflicts=True)  # two at once may want the same


class Merge(models.Model):
    """One record found to be another's person (ADT^A40). It stays when it is undone: the trail is kept."""

    victim = models.ForeignKey(Patient, models.PROTECT, related_name="merges")
    survivor = models.ForeignKey(Patient, models.PROTECT, related_name="takeovers")
    at = models.DateTimeField(help_text=_("When it happened, as the sender says."))
    by = models.CharField(max_length=150, help_text=_("The message or the person that said so."))
    undone_at = models.DateTimeField(null=True, blank=True)
    undone_by = models.CharField(max_length=150, blank=True)

    class Meta:
        ordering = ["at", "id"]
        constraints = [
            models.CheckConstraint(name="nobody_is_merged_into_themselves", condition=~Q(victim=models.F("survivor"))),
            models.CheckConstraint(
                name="an_undone_merge_has_who_and_when",
                condition=Q(undone_at__isnull=True, undone_by="") | Q(undone_at__isnull=False, undone_by__gt=""),
            ),
        ]

    def __str__(self):
        return f"{self.victim} into {self.survivor}"


class CrossReference(models.Model):
    """An identifier of another organisation known to be this patient's (PIX, ADT^A24, a confirmed decision)."""

    class Origin(models.TextChoices):
        LINK = "link", _("linked by a message (ADT^A24)")
        PIX = "pix", _("told by the cross-reference index (PIX)")
        DECISION = "decision", _("confirmed when a study was released")

    patient = models.ForeignKey(Patient, models.CASCADE, related_name="cross_references")
    own = models.ForeignKey(
        Patient,
        models.CASCADE,
        null=True,
        editable=False,
        related_name="+",
        help_text=_("Whose it was before a merge; it goes back there when the merge is undone."),
    )
    value = models.CharField(max_length=64, validators=[plain_text])
    issuer = models.CharField(max_length=64, validators=[plain_text])
    origin = models.CharField(max_length=12, choices=Origin)
    by = models.CharField(max_length=150, help_text=_("The message or the person that said so."))
    at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-at", "-id"]
        constraints = [
            models.UniqueConstraint(
                name="a_cross_reference_stands_once",
                fields=["patient", "issuer", "value", "origin"],
                condition=Q(ended_at__isnull=True),
            )
        ]
        indexes = [models.Index(fields=["value"])]

    def __str__(self):
        return f"{self.value} ({self.issuer})"
