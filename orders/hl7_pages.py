"""Pages of the administration about messages: what came, how feeds are read, merges and links."""

import re

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, Q, Subquery
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.translation import gettext_lazy as _

from orders import inbound, merging, preview
from orders.hl7 import dictionary, read
from orders.models import Claim, CrossReference, Feed, Identifier, Merge, Message
from policies.problems import Problem
from policies.recorded import LookedAt, Recorded

PIECES = re.compile(r"[^^~&]{1,40}[\^~&]?|[\^~&]")  # where a long value may be broken into lines
LONGEST_SHOWN = 400  # characters of a field: documents are sent within messages


@admin.register(Message)
class Messages(LookedAt):
    list_display = ["received_at", "kind", "what", "outcome", "answer", "control_id", "sender"]
    list_filter = ["outcome", "type", "feed", "received_at"]
    list_select_related = ["feed"]
    search_fields = ["search_key", "control_id"]
    search_help_text = _("Control ID, patient identifier, accession number or order number.")
    fields = ["received_at", "said_at", "peer", "feed", "sender", "control_id", "kind", "version", "outcome", "answer"]
    change_form_template = "orders/message.html"
    actions = ["replay"]

    @admin.display(description=_("message"), ordering="type")
    def kind(self, message):
        return f"{message.type}^{message.trigger}".strip("^") or "-"

    @admin.display(description=_("sender"), ordering="sending_application")
    def sender(self, message):
        return f"{message.sending_application}|{message.sending_facility}".strip("|") or "-"

    @admin.display(description=_("what it changed"))
    def what(self, message):
        text = message.problem if message.outcome == Message.Outcome.REFUSED else " ".join(message.changed)
        return text if len(text) <= 90 else f"{text[:89]}…"

    def get_queryset(self, request):
        rows = super().get_queryset(request)
        return rows.defer("raw") if request.resolver_match.url_name.endswith("changelist") else rows

    def change_view(self, request, object_id, form_url="", extra_context=None):
        message = self.get_object(request, object_id)
        shown = {"lines": lines(bytes(message.raw)), "message": message} if message else {}
        return super().change_view(request, object_id, form_url, (extra_context or {}) | shown)

    @admin.action(description=_("Replay the selected messages"), permissions=["view"])
    def replay(self, request, queryset):
        """In the order in which they came, each for itself."""
        for message in queryset.order_by("received_at", "pk"):
            try:
                changed = inbound.replay(message, by=request.user)
            except Problem as refusal:
                self.message_user(request, f"{message}: {refusal}", messages.ERROR)
            else:
                said = " ".join(changed) or _("It changed nothing.")
                self.message_user(request, f"{message}: {said}", messages.SUCCESS)


def lines(raw: bytes) -> list[dict]:
    """Each segment with its filled fields, by the names of the standard."""
    try:
        message = read.parse(raw)
    except read.NotHL7:
        return [{"name": "", "fields": [("", "", PIECES.findall(raw.decode("utf_8", "replace")[:LONGEST_SHOWN]))]}]
    return [{"name": segment.name, "fields": list(_fields(segment, message))} for segment in message.segments]


def _fields(segment: read.Segment, message: read.Message):
    for number in range(1, len(segment.fields)):
        if text := segment.field(number):
            shown = text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}… ({len(text)})"
            name = dictionary.field_name(segment.name, number, message.version)
            yield f"{segment.name}-{number}", name, PIECES.findall(shown)


class Pasted(forms.Form):
    text = forms.CharField(
        label=_("Message"),
        widget=forms.Textarea(attrs={"rows": 12, "cols": 120, "spellcheck": "false"}),
        max_length=200_000,
        strip=False,
    )


@admin.register(Feed)
class Feeds(Recorded):
    list_display = ["name", "organisation", "sending_application", "sending_facility", "issuer", "anchor", "active"]
    list_filter = ["active", "organisation"]
    list_select_related = ["organisation"]
    search_fields = ["name", "sending_application", "sending_facility", "organisation__name"]
    change_list_template = "orders/feeds.html"
    fieldsets = [
        (None, {"fields": ["name", "organisation", "sending_application", "sending_facility", "active"]}),
        (_("How its text is written"), {"fields": ["character_set", "time_zone"]}),
        (_("Patients"), {"fields": ["issuer", "anchor"]}),
        (
            _("Orders"),
            {
                "fields": [
                    "accession_number",
                    "requested_procedure_id",
                    "scheduled_procedure_step_id",
                    "study_instance_uid",
                    "modality",
                    "scheduled_at",
                    "admission_id",
                ],
                "description": _("In which field each stands; the first one of several that is filled counts."),
            },
        ),
    ]

    def get_urls(self):
        read_page = self.admin_site.admin_view(self.read)
        return [path("read/", read_page, name="orders_feed_read"), *super().get_urls()]

    def read(self, request):
        """How would this message be read? Nothing is kept."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        form = Pasted(request.POST or None)
        shown = preview.preview(form.cleaned_data["text"]) if form.is_valid() else None
        context = {**self.admin_site.each_context(request), "title": _("How would this message be read?")}
        context |= {"form": form, "shown": shown, "opts": self.opts}
        return TemplateResponse(request, "orders/read.html", context)


def _own_value(record: str) -> Subquery:
    """The identifier that a record has of its own, wherever merges have put it."""
    own = Q(own=OuterRef(record)) | Q(own=None, patient=OuterRef(record))
    return Subquery(Identifier.objects.filter(own).order_by("-primary", "pk").values("value")[:1])


@admin.register(Merge)
class Merges(LookedAt):
    ordering = ["-at", "-pk"]
    list_display = ["at", "merged", "into", "by", "undone_at", "undone_by"]
    list_filter = [("undone_at", admin.EmptyFieldListFilter), "at"]
    list_select_related = ["victim", "survivor"]
    search_fields = ["victim__name", "survivor__name", "victim__identifiers__value", "survivor__identifiers__value"]
    actions = ["undo"]

    def get_queryset(self, request):
        return super().get_queryset(request).annotate(was=_own_value("victim"), now=_own_value("survivor"))

    @admin.display(description=_("merged"))
    def merged(self, merge):
        return f"{merge.was}, {merge.victim}"

    @admin.display(description=_("into"))
    def into(self, merge):
        return f"{merge.now}, {merge.survivor}"

    @admin.action(description=_("Undo the selected merges"), permissions=["view"])
    def undo(self, request, queryset):
        """Asks for the reason first; then each for itself."""
        if "reason" not in request.POST:
            context = {**self.admin_site.each_context(request), "title": _("Undo these merges?"), "opts": self.opts}
            context |= {"merges": queryset}
            return TemplateResponse(request, "orders/undo_merges.html", context)
        for merge in queryset:
            try:
                merging.undo(merge, by=request.user, reason=request.POST["reason"])
            except Problem as refusal:
                self.message_user(request, f"{merge}: {refusal}", messages.ERROR)
            else:
                self.message_user(request, _("Undone: %(merge)s.") % {"merge": merge}, messages.SUCCESS)
        return None


@admin.register(CrossReference)
class CrossReferences(LookedAt):
    list_display = ["__str__", "patient", "origin", "by", "at", "ended_at"]
    list_filter = ["origin", ("ended_at", admin.EmptyFieldListFilter)]
    list_select_related = ["patient"]
    search_fields = ["value", "patient__name", "patient__identifiers__value"]


@admin.register(Claim)
class Claims(LookedAt):
    """Identifiers of which messages say that they are two patients'."""

    list_display = ["__str__", "patient"]
    list_select_related = ["patient"]
    search_fields = ["value", "patient__name"]
