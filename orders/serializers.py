"""Patients and orders as the REST calls show and take them."""

from django.core.validators import RegexValidator
from rest_framework import serializers

from orders import outbound
from orders.models import Identifier, Notice, Order, Patient
from policies.models import Procedure, a_person

# PS3.5 section 9.1: digits and dots, at most 64 characters, no component with a leading zero.
unique_identifier = RegexValidator(r"^(?=.{1,64}$)(0|[1-9]\d*)(\.(0|[1-9]\d*))+$", "This is not a UID.")


class Known(serializers.PrimaryKeyRelatedField):
    """Names a row by its opaque id."""

    default_error_messages = {"does_not_exist": "There is nothing with this id to choose."}

    def __init__(self, **kwargs):
        super().__init__(pk_field=serializers.UUIDField(), **kwargs)


class IdentifierSerializer(serializers.ModelSerializer):
    class Meta:
        model = Identifier
        fields = ["value", "issuer", "universal_id", "universal_id_type", "primary"]
        validators = []  # whether it is taken is said when it is entered, as a conflict


class PatientSerializer(serializers.ModelSerializer):
    identifiers = IdentifierSerializer(many=True, allow_empty=False, max_length=50)

    class Meta:
        model = Patient
        fields = ["id", "name", "birth_date", "sex", "identifiers", "changed_at"]


class OrderSerializer(serializers.ModelSerializer):
    patient = PatientSerializer()
    is_open = serializers.BooleanField(help_text="Whether a study may still be mapped to it.")

    class Meta:
        model = Order
        fields = [
            "id",
            "patient",
            "status",
            "is_open",
            "origin",
            "for_import",
            "awaits_number",
            "accession_number",
            "accession_issuer",
            "placer_order_number",
            "filler_order_number",
            "requested_procedure_id",
            "scheduled_procedure_step_id",
            "procedure_code",
            "procedure_scheme",
            "description",
            "modality",
            "body_part",
            "scheduled_at",
            "referring_physician",
            "admission_id",
            "study_instance_uid",
            "created_by",
            "created_at",
            "changed_at",
        ]
        read_only_fields = fields


class NoticeSerializer(serializers.ModelSerializer):
    """What an order system was told of an order, and how far that has come."""

    system = serializers.CharField()
    standing = serializers.SerializerMethodField(help_text="A sentence for staff.")

    class Meta:
        model = Notice
        fields = [
            "id",
            "kind",
            "system",
            "state",
            "standing",
            "control_id",
            "attempts",
            "due_at",
            "created_at",
            "sent_at",
            "answered_at",
            "problem",
            "unwritable",
        ]
        read_only_fields = fields

    def get_standing(self, notice: Notice) -> str:
        return outbound.standing(notice)


class ToldOrderSerializer(OrderSerializer):
    """An order with what an order system was told of it."""

    notices = NoticeSerializer(many=True)

    class Meta(OrderSerializer.Meta):
        fields = [*OrderSerializer.Meta.fields, "notices"]
        read_only_fields = fields


class GenerateOrderSerializer(serializers.Serializer):
    """A reconciliation order, made here with a number of its own; without a procedure the one of the procedure map."""

    origin = serializers.ChoiceField(["generated"], required=False)
    patient = Known(queryset=Patient.objects.prefetch_related("identifiers"))
    procedure = Known(queryset=Procedure.objects.all(), required=False, help_text="Needed without a study.")
    study = serializers.UUIDField(required=False, help_text="The held study that it is for.")
    requester = serializers.CharField(
        max_length=194,
        required=False,
        allow_blank=True,
        validators=[a_person],
        help_text="Like 'Weber, Karl'; only with a study. Without it the usual one of the source; empty: the referring "
        "physician whom the study names.",
    )
    body_part = serializers.CharField(max_length=16, required=False, allow_blank=True)
    source = serializers.UUIDField(required=False, allow_null=True, help_text="The source whose study it is for.")


class EnterOrderSerializer(serializers.ModelSerializer):
    """An order of another system, entered by hand."""

    origin = serializers.ChoiceField(["entered"])
    patient = Known(queryset=Patient.objects.prefetch_related("identifiers"))
    study_instance_uid = serializers.CharField(required=False, allow_blank=True, validators=[unique_identifier])

    class Meta:
        model = Order
        fields = [
            "origin",
            "patient",
            "accession_number",
            "accession_issuer",
            "placer_order_number",
            "filler_order_number",
            "requested_procedure_id",
            "scheduled_procedure_step_id",
            "procedure_code",
            "procedure_scheme",
            "description",
            "modality",
            "body_part",
            "scheduled_at",
            "referring_physician",
            "admission_id",
            "study_instance_uid",
        ]
        extra_kwargs = {"accession_number": {"required": True, "allow_blank": False}}
        validators = []  # whether the number is taken is said when it is entered, as a conflict
