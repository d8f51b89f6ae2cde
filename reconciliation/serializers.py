"""Studies and what hangs on them as the REST calls show them. What calls take: views/api_bodies.py."""

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.reverse import reverse

from orders.models import Lookup
from orders.serializers import OrderSerializer, PatientSerializer
from policies.models import Destination, LedgerLine, Power, Procedure, Reason, RetentionRule, Source
from reconciliation import delivery, lease, permission, workflow
from reconciliation.consent_serializers import ConsentSerializer
from reconciliation.models import Approval, Delivery, Finding, Mapping, Proposal, Study, Submission, Unreadable

VIEWS = ("proposals", "preview", "changes", "history", "deliveries", "lease")  # what else a study has an address for


class RefusalSerializer(serializers.Serializer):
    """Why not, in a sentence that staff can act on."""

    problem = serializers.CharField(help_text="denied, conflict, invalid, unauthenticated, not_found, ...")
    detail = serializers.CharField()
    fields_ = serializers.DictField(child=serializers.ListField(child=serializers.CharField()), required=False)

    def get_fields(self):
        shape = super().get_fields()
        return {name.rstrip("_"): field for name, field in shape.items()}


class SourceSerializer(serializers.ModelSerializer):
    class Meta:
        model = Source
        fields = ["id", "name", "active", "intent", "requester"]
        extra_kwargs = {
            "intent": {"help_text": "The usual purpose of its studies: a proposal, `map/` needs it said. Empty: none."},
            "requester": {"help_text": "Who usually asks for its studies; written into orders that are generated."},
        }


class DestinationSerializer(serializers.ModelSerializer):
    class Meta:
        model = Destination
        fields = ["id", "name", "offered"]


class ProcedureSerializer(serializers.ModelSerializer):
    class Meta:
        model = Procedure
        fields = ["id", "code", "scheme", "meaning", "modality"]


class RetentionRuleSerializer(serializers.ModelSerializer):
    class Meta:
        model = RetentionRule
        fields = ["id", "name", "period"]


class OfferedRuleSerializer(RetentionRuleSerializer):
    proposed = serializers.BooleanField(help_text="Whether policy proposes it for the study asked about.")

    class Meta(RetentionRuleSerializer.Meta):
        fields = ["id", "name", "period", "proposed"]


class ReasonSerializer(serializers.ModelSerializer):
    class Meta:
        model = Reason
        fields = ["code", "sentence"]


class AsReceivedSerializer(serializers.ModelSerializer):
    """What the objects say, as they came: DICOM texts, dates as YYYYMMDD."""

    class Meta:
        model = Study
        fields = [
            "patient_name",
            "patient_id",
            "issuer_of_patient_id",
            "patient_birth_date",
            "patient_sex",
            "accession_number",
            "study_date",
            "study_time",
            "study_description",
            "study_id",
            "referring_physician_name",
            "institution_name",
            "modalities",
            "body_parts",
            "deidentified",
            "burned_in",
        ]


class LocalSerializer(serializers.ModelSerializer):
    """Whose the study is here, and which order it belongs to; nulls until it is mapped."""

    patient = PatientSerializer(source="local_patient", allow_null=True)
    order = OrderSerializer(allow_null=True)

    class Meta:
        model = Study
        fields = ["patient", "order", "intent"]


class CountsSerializer(serializers.Serializer):
    series = serializers.IntegerField(source="number_of_series")
    instances = serializers.IntegerField(source="number_of_instances")
    duplicates = serializers.IntegerField()
    bytes = serializers.IntegerField(source="size")


class FindingSerializer(serializers.ModelSerializer):
    open = serializers.BooleanField(source="is_open", help_text="Whether it stands in the way of clearance.")
    overridden_by = serializers.CharField(allow_null=True)

    class Meta:
        model = Finding
        fields = ["code", "rule", "severity", "sentence", "open", "overridden_by", "overridden_at", "override_reason"]


class LeaseSerializer(serializers.Serializer):
    holder = serializers.CharField()
    mine = serializers.BooleanField()
    since = serializers.DateTimeField()
    until = serializers.DateTimeField()


class StepSerializer(serializers.Serializer):
    """A step that leads on from here; `why_not` is empty when you may take it now."""

    verb = serializers.CharField()
    words = serializers.CharField()
    why_not = serializers.CharField(allow_blank=True)
    url = serializers.URLField()


class ApprovalSerializer(serializers.ModelSerializer):
    """What waits for a second person: who asked for what, and when."""

    asked_by = serializers.CharField()
    destinations = serializers.ListField(source="what.destinations", child=serializers.UUIDField())

    class Meta:
        model = Approval
        fields = ["verb", "asked_by", "asked_at", "destinations"]


class StudySerializer(serializers.ModelSerializer):
    """One outside study. Needs the request in its context: leases and steps depend on who asks."""

    follows = serializers.SerializerMethodField()
    source = SourceSerializer()
    as_received = AsReceivedSerializer(source="*")
    local = LocalSerializer(source="*")
    counts = CountsSerializer(source="*")
    findings = FindingSerializer(many=True)
    lease = serializers.SerializerMethodField()
    offered = serializers.SerializerMethodField()
    approval = serializers.SerializerMethodField()
    consent = ConsentSerializer(allow_null=True)
    retention = RetentionRuleSerializer(allow_null=True)
    released_by = serializers.CharField(allow_null=True)
    rejected_for = ReasonSerializer(allow_null=True)
    links = serializers.SerializerMethodField()

    class Meta:
        model = Study
        fields = [
            "id",
            "state",
            "version",
            "study_instance_uid",
            "part",
            "follows",
            "source",
            "submission",
            "received_at",
            "last_arrival_at",
            "as_received",
            "local",
            "category",
            "counts",
            "best_class",
            "best_score",
            "contenders",
            "new_candidate_at",
            "segregated",
            "findings",
            "lease",
            "offered",
            "approval",
            "consent",
            "retention",
            "retention_reason",
            "released_by",
            "released_at",
            "rejected_for",
            "links",
        ]

    @extend_schema_field(serializers.UUIDField(allow_null=True))
    def get_follows(self, study):
        """The part before this one, unless it is one that one may not know of."""
        user = self.context["request"].user
        return study.follows_id if study.follows and not permission.why_not(user, Power.VIEW, study.follows) else None

    @extend_schema_field(LeaseSerializer(allow_null=True))
    def get_lease(self, study):
        if (holder := lease.holder(study)) is None:
            return None
        mine = holder == self.context["request"].user
        said = {"holder": str(holder), "mine": mine, "since": study.lease_since, "until": study.lease_until}
        return LeaseSerializer(said).data

    @extend_schema_field(ApprovalSerializer(allow_null=True))
    def get_approval(self, study):
        """The release that waits for a second person, of the study as it is now."""
        live = (one for one in study.approvals.all() if one.state == "waiting" and one.version == study.version)
        row = next(live, None)
        return row and ApprovalSerializer(row).data

    @extend_schema_field(StepSerializer(many=True))
    def get_offered(self, study):
        offered = workflow.offered(study, self.context["request"].user)
        return [
            {"verb": verb, "words": workflow.MOVES[verb].words, "why_not": why_not, "url": self._url(verb, study)}
            for verb, why_not in offered.items()
        ]

    @extend_schema_field(serializers.DictField(child=serializers.URLField()))
    def get_links(self, study):
        return {"self": self._url("study", study)} | {name: self._url(name, study) for name in VIEWS}

    def _url(self, name: str, study: Study) -> str:
        return reverse(f"api:{name}", [study.pk], request=self.context["request"])


class EvidenceSerializer(serializers.Serializer):
    """One field of the comparison, with the rule that judged it."""

    field = serializers.CharField()
    agreement = serializers.CharField()
    incoming = serializers.CharField()
    local = serializers.CharField()
    rule = serializers.CharField()
    weight = serializers.FloatField()


class ProposalSerializer(serializers.ModelSerializer):
    patient = PatientSerializer()
    order = OrderSerializer(allow_null=True)
    evidence = EvidenceSerializer(many=True)

    class Meta:
        model = Proposal
        fields = ["rank", "patient", "order", "score", "class", "margin", "runner_up", "ambiguous", "evidence"]
        extra_kwargs = {"class": {"source": "klass"}}


class SystemAnswerSerializer(serializers.Serializer):
    """What one system said: how much it knew, or why nothing."""

    system = serializers.CharField()
    problem = serializers.CharField(help_text="Why it did not answer, or empty.")
    people = serializers.IntegerField()
    orders = serializers.IntegerField()
    new = serializers.IntegerField(help_text="Patients and orders that were not known here.")
    notes = serializers.ListField(child=serializers.CharField())


class LookupSerializer(serializers.ModelSerializer):
    is_open = serializers.BooleanField(help_text="Whether answers are still to come.")
    answers = SystemAnswerSerializer(many=True)

    class Meta:
        model = Lookup
        fields = ["is_open", "asked_at", "news", "answers"]


class ChangeSerializer(serializers.Serializer):
    """One attribute as it will be sent. `old` lists the distinct values that the study has now."""

    path = serializers.CharField()
    action = serializers.CharField(help_text="set, empty, remove or append")
    old = serializers.ListField(child=serializers.JSONField())
    new = serializers.JSONField(allow_null=True)
    rule = serializers.CharField()
    group = serializers.CharField()


class UidsSerializer(serializers.Serializer):
    """The UIDs that do not stay as they came."""

    study = serializers.DictField(child=serializers.CharField(), help_text="Old to new, in every object, at any depth.")
    objects = serializers.DictField(
        child=serializers.CharField(), help_text="The key of an object to its new SOP Instance UID."
    )
    left_out = serializers.ListField(child=serializers.CharField(), help_text="Keys of the objects that stay here.")


class ChangesSerializer(serializers.Serializer):
    changes = ChangeSerializer(many=True)
    uids = UidsSerializer()


class PreviewSerializer(ChangesSerializer):
    shown = serializers.CharField(help_text="Give it to map/, so that nothing else is stored than what you saw.")


class MappedSerializer(ChangesSerializer):
    study = StudySerializer()


class MappingSerializer(serializers.ModelSerializer):
    made_by = serializers.CharField()

    class Meta:
        model = Mapping
        fields = ["id", "patient", "order", "intent", "made_by", "by_policy", "made_at"]


class DecidedSerializer(ChangesSerializer):
    mapping = MappingSerializer(allow_null=True)


class LedgerLineSerializer(serializers.ModelSerializer):
    class Meta:
        model = LedgerLine
        fields = ["at", "actor", "verb", "subject", "subject_label", "reason", "detail"]


class LedgerSerializer(serializers.ModelSerializer):
    """A line with its place in the chain: the number, the digest before and its own."""

    class Meta:
        model = LedgerLine
        fields = ["id", *LedgerLineSerializer.Meta.fields]
        fields += ["actor_key", "subject_key", "study_key", "address", "previous", "digest", "form"]


class CheckedSerializer(serializers.Serializer):
    """How far a look along the chain has come; `problem` names the first line that does not fit."""

    line = serializers.IntegerField()
    problem = serializers.CharField()
    done = serializers.BooleanField(help_text="False: ask again with `after` = `line`.")


class DeliverySerializer(serializers.ModelSerializer):
    """On its way to one destination; `retry_barred` is empty when you may have it sent again now."""

    destination = DestinationSerializer()
    proof = serializers.ChoiceField(
        Destination.Proof.choices, source="destination.proof", help_text="What the destination must show."
    )
    accepted = serializers.IntegerField(help_text="Objects that the destination has accepted.")
    committed = serializers.IntegerField(help_text="Objects that it has committed itself to.")
    counted = serializers.IntegerField(help_text="Objects that were found there again by a query.")
    instances = serializers.IntegerField(source="number_of_instances")
    retry_barred = serializers.SerializerMethodField()

    class Meta:
        model = Delivery
        fields = [
            "id",
            "destination",
            "state",
            "proof",
            "accepted",
            "committed",
            "counted",
            "instances",
            "attempts",
            "due_at",
            "sent_at",
            "delivered_at",
            "problem",
            "retry_barred",
        ]

    def get_retry_barred(self, row) -> str:
        return delivery.why_not_retry(row, self.context["request"].user)


class UnreadableSerializer(serializers.ModelSerializer):
    class Meta:
        model = Unreadable
        fields = ["id", "number", "name", "reason", "size", "at"]


class SubmissionSerializer(serializers.ModelSerializer):
    """What one sender handed over at one time. A list shows the first unreadable arrivals, the submission all."""

    source = SourceSerializer()
    number_of_instances = serializers.IntegerField()
    number_of_unreadable = serializers.IntegerField()
    studies = serializers.PrimaryKeyRelatedField(many=True, read_only=True, help_text="Studies that began with it.")
    unreadable = UnreadableSerializer(source="arrivals", many=True)

    class Meta:
        model = Submission
        fields = [
            "id",
            "door",
            "source",
            "calling_title",
            "user",
            "label",
            "note",
            "received_at",
            "closed_at",
            "number_of_instances",
            "number_of_unreadable",
            "studies",
            "unreadable",
        ]


class GrantedSerializer(serializers.Serializer):
    """A power, and where it is held; null is everywhere."""

    power = serializers.CharField()
    source = serializers.UUIDField(source="source_id", allow_null=True)
    destination = serializers.UUIDField(source="destination_id", allow_null=True)
    modality = serializers.CharField(help_text="Empty: every modality. So for intent and category.")
    intent = serializers.CharField()
    category = serializers.CharField()
    valid_from = serializers.DateField(allow_null=True)
    valid_until = serializers.DateField(allow_null=True)
    may_pass_on = serializers.BooleanField()


class MeSerializer(serializers.Serializer):
    id = serializers.UUIDField()
    username = serializers.CharField()
    name = serializers.CharField()
    powers = GrantedSerializer(many=True)
