"""How consents look in REST: as recorded, what policy asks, what has gone out; and what the calls take."""

from rest_framework import serializers

from policies.models import Basis, Purpose
from reconciliation.models import Consent, ConsentEvidence


class OneOf(serializers.ChoiceField):
    """A choice whose refusal names what there is to choose."""

    def __init__(self, choices, **kwargs):
        super().__init__(choices, **kwargs)
        self.error_messages["invalid_choice"] = f"Choose one of: {', '.join(map(str, self.choices))}."


class ConsentEvidenceSerializer(serializers.ModelSerializer):
    """A scanned form: what it is, who kept it and when."""

    kept_by = serializers.CharField()

    class Meta:
        model = ConsentEvidence
        fields = ["id", "digest", "media_type", "size", "kept_by", "kept_at"]


class ConsentSerializer(serializers.ModelSerializer):
    recorded_by = serializers.CharField()
    withdrawn_by = serializers.CharField(allow_null=True)

    class Meta:
        model = Consent
        fields = [
            *(
                "key",
                "basis",
                "given_by",
                "relation",
                "given_on",
                "scope",
                "evidence",
                "form_number",
                "witness",
                "scan",
            ),
            *("until", "by_rule", "recorded_by", "recorded_at"),
            *("withdrawn_at", "withdrawn_by", "withdrawn_said_by", "withdrawn_why"),
        ]


class AskedSerializer(serializers.Serializer):
    """What policy asks for one purpose."""

    purpose = serializers.CharField()
    rule = serializers.CharField(allow_blank=True, help_text="Empty: no rule speaks of it.")
    suffices = serializers.ListField(child=serializers.CharField())
    evidence = serializers.CharField()
    period = serializers.CharField(allow_blank=True, help_text="ISO 8601, from the day given.")
    sentence = serializers.CharField()


class GoneOutSerializer(serializers.Serializer):
    """What a destination has taken on the strength of a consent."""

    delivery = serializers.UUIDField(source="pk")
    study = serializers.UUIDField(source="study_id")
    destination = serializers.CharField()
    objects = serializers.IntegerField(source="sent")
    last = serializers.DateTimeField()


class StudyConsentSerializer(serializers.Serializer):
    consent = ConsentSerializer(allow_null=True)
    why_not = serializers.CharField(allow_blank=True, help_text="Why it does not carry the study now, or empty.")
    asked = AskedSerializer(many=True)
    reusable = ConsentSerializer(many=True, help_text="Give the key of one as `again` when you clear the study.")
    gone_out = GoneOutSerializer(many=True)
    to_do = serializers.CharField(allow_blank=True)


class GivenConsent(serializers.Serializer):
    again = serializers.UUIDField(required=False, help_text="The key of a reusable consent; nothing else is then read.")
    basis = OneOf(Basis.choices, required=False)
    evidence = serializers.CharField(default="", max_length=2000, allow_blank=True)
    given_by = serializers.CharField(default="", allow_blank=True, max_length=200)
    relation = serializers.CharField(default="", allow_blank=True, max_length=64, help_text="Of a guardian.")
    given_on = serializers.DateField(default=None, allow_null=True, help_text="null: today.")
    form_number = serializers.CharField(default="", allow_blank=True, max_length=64)
    witness = serializers.CharField(default="", allow_blank=True, max_length=200)
    scan = serializers.PrimaryKeyRelatedField(
        queryset=ConsentEvidence.objects.all(),
        default=None,
        allow_null=True,
        help_text="The id of a form that was kept for this study by evidence/.",
    )
    scope = serializers.ListField(child=OneOf(Purpose.choices), default=["care"])
    until = serializers.DateField(default=None, allow_null=True)

    def validate(self, given: dict) -> dict:
        if not given.get("basis") and not given.get("again"):
            raise serializers.ValidationError({"basis": ["This field is required."]})
        return given


class RenewConsent(serializers.Serializer):
    consent = GivenConsent()
    version = serializers.IntegerField(
        required=False, min_value=1, max_value=2**31 - 1, help_text="The version of the study that you saw."
    )


class ConsentForm(serializers.Serializer):
    file = serializers.FileField(help_text="PDF, JPEG or PNG, at most 10 MB.")


class WithdrawConsent(serializers.Serializer):
    given_by = serializers.CharField(max_length=200, help_text="Who withdraws it.")
    reason = serializers.CharField(max_length=2000)
