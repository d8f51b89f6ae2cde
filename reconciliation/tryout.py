"""A rule tried on one study as it is typed in, before anybody saves it: what is decided without it, and with it."""

import uuid
from collections.abc import Collection
from functools import cache
from typing import NamedTuple

from django import forms
from django.http import HttpRequest, QueryDict
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from policies import audit, versions
from policies.drafts import Wanted
from policies.models import Intent, User
from reconciliation import queue, topics, whatif
from reconciliation.models import Study
from reconciliation.topics import Line, Said

MOST = 10  # studies that a search shows


class Compared(NamedTuple):
    """An attribute as received, and as it would be sent without and with the rule."""

    name: str
    received: str
    old: Line | None
    new: Line | None


class Outcome(NamedTuple):
    """What is decided in one topic as the rules are (`old`), and as they would be (`new`)."""

    label: str
    old: Said
    new: Said

    @property
    def differs(self) -> bool:
        return self.old.key != self.new.key

    @property
    def lines(self) -> list[Compared]:
        """The attributes that managers' rules look at, and what else comes out otherwise."""
        old, new = ({line.name: line for line in said.lines} for said in (self.old, self.new))
        compared = [
            Compared(name, line.received, old.get(name), new.get(name)) for name, line in {**old, **new}.items()
        ]
        return [one for one in compared if one.old != one.new or (one.new and one.new.added)]


class Tryout(forms.Form):
    """Which study a rule is tried on."""

    prefix = "tryout"

    study = forms.CharField(
        label=_("Study"),
        required=False,
        max_length=200,
        widget=forms.TextInput(attrs={"size": 50}),
        help_text=_("Its address, or words to search held studies for. Empty: the one that came last."),
    )
    intent = forms.ChoiceField(label=_("Purpose"), required=False)

    def __init__(self, request: HttpRequest):
        super().__init__(_given(request.POST))
        self.user: User = request.user
        self.fields["intent"].choices = [("", _("as the study says")), *Intent.choices]
        self.found: list[Study] = []  # several, of which one has to be chosen
        self.tried: Study | None = None
        self.outcomes: list[Outcome] = []

    def try_on(self, wanted: Collection[Wanted]) -> None:
        """Decide about the study without and with these changes. Nothing is written but who looked at it."""
        if not self.is_valid():
            return
        self.found = self._found(self.cleaned_data["study"].strip())
        if not self.found:
            self.add_error("study", _("There is no such study that you may see."))
        if len(self.found) == 1:
            (self.tried,) = self.found
            self.outcomes = outcomes(self.tried, wanted, intent=self.cleaned_data["intent"])
            audit.looked(self.user, self.tried)

    def _found(self, said: str) -> list[Study]:
        related = ("source", "submission", "local_patient", "order")
        if key := _key(said):
            return list(queue.visible_to(self.user).select_related(*related).filter(pk=key))
        rows = queue.studies(self.user, {"state": Study.State.HELD, "q": said}).select_related(*related)
        return list(rows[: MOST if said else 1])


def _given(posted: QueryDict) -> dict | None:
    """What is filled in; where one of several studies was chosen, that one."""
    key = _key(posted.get("_tryout", ""))
    named = {"tryout-study": str(key)} if key else {}
    return {**posted.dict(), **named} if "_tryout" in posted else None


def _key(said: str) -> uuid.UUID | None:
    """The key in an address of a study, or a key by itself."""
    pieces = [piece for piece in said.split("?")[0].split("#")[0].split("/") if piece]
    try:
        return uuid.UUID(pieces[-1]) if pieces else None
    except ValueError:
        return None


def outcomes(study: Study, wanted: Collection[Wanted], *, intent: str = "") -> list[Outcome]:
    """Topic by topic what is decided; with an intent as if the study had it."""
    study.intent = intent or study.intent  # never saved
    old = cache(lambda model: list(versions.now(model)))
    new, today = whatif.under(wanted, old), timezone.localdate()
    found, asking = [], topics.asking(one.model for one in wanted)
    moved = [topic for topic in asking if topic.asked is None or topic.asked(old) != topic.asked(new)]
    for topic in moved or asking:
        facts = topic.facts(study, old, new)
        found.append(Outcome(str(topic.label), *(topic.decide(facts, rules, today) for rules in (old, new))))
    return found
