"""Drafts of rules: written, submitted, approved by a second person where that is asked for, in force on their day."""

import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, transaction
from django.db.models import F, Q
from django.utils import timezone

from policies import audit, authority, versions
from policies.models import Grant, PolicyDraft, Power, SecondPerson, Source, User
from policies.problems import Conflict, Denied, Invalid

State = PolicyDraft.State
WAITING = (State.DRAFT, State.SUBMITTED, State.APPROVED)

# What else bars somebody from a change of a kind of rule: who, the row as it is, the row as it would be; or "".
# Restored versions, files and drafts of others come by here too, where no form is.
BARS: dict[type[models.Model], Callable[[User, models.Model | None, models.Model | None], str]] = {
    Grant: authority.why_not_regrant
}


class Wanted(NamedTuple):
    """What a rule shall say; columns None: it shall be deleted. Without a key the database gives it one."""

    model: type[models.Model]
    key: str
    columns: dict[str, Any] | None
    title: str

    @classmethod
    def of(cls, row: models.Model, *, deleted: bool = False) -> "Wanted":
        """What a row says that is filled in and not saved."""
        columns = None if deleted else versions.columns_of(row)
        return cls(type(row), str(row.pk or ""), columns, str(row)[:250])

    @property
    def kind(self) -> str:
        return versions.kind_of(self.model)


def needs_approval(model: type[models.Model]) -> bool:
    """Whether rules of this kind change only with the approval of a second person.

    The settings say so, or a rule does; who would take such a rule away needs a second person for that, too.
    """
    name = model._meta.model_name
    if name in settings.POLICY_APPROVAL:
        return True
    asking = SecondPerson.objects.filter(power=Power.SET_POLICY, active=True)
    return (asking if model is SecondPerson else asking.filter(kind__in=["", name])).exists()


def write(wanted: Wanted, *, by: User, why: str, effective_from: datetime | None = None) -> PolicyDraft:
    newest = versions.newest(wanted.kind, wanted.key)
    with transaction.atomic():
        draft = PolicyDraft.objects.create(
            kind=wanted.kind,
            key=wanted.key,
            title=wanted.title,
            columns=wanted.columns,
            based_on=newest.number if newest else 0,
            made_by=by,
            why=why,
            effective_from=effective_from,
            needs_approval=needs_approval(wanted.model),
        )
        audit.record(by, "draft", draft, reason=why, detail={"changes": told(draft)})
    return draft


def change(wanted: Wanted, *, by: User, why: str, effective_from: datetime | None = None) -> PolicyDraft:
    """Write and submit: it is in force at once, unless it waits for its day or for a second person."""
    draft = write(wanted, by=by, why=why, effective_from=effective_from)
    submit(draft, by=by)
    return draft


def submit(draft: PolicyDraft, *, by: User) -> None:
    if barred := _why_barred(draft, by):
        raise Denied(barred)
    wants = draft.needs_approval or needs_approval(versions.model_of(draft.kind))  # it may be older than the rule
    to = State.SUBMITTED if wants else State.APPROVED
    _move(draft, "submit", State.DRAFT, to, by=by, problem="", needs_approval=wants)
    if draft.state == State.APPROVED and _is_due(draft):
        apply(draft, by=by)


def _why_barred(draft: PolicyDraft, by: User) -> str:
    model = versions.model_of(draft.kind)
    if model not in BARS:
        return ""
    before = model._base_manager.filter(pk=draft.key or None).first()
    return BARS[model](by, before, None if draft.columns is None else versions.built(model, draft.key, draft.columns))


def approve(draft: PolicyDraft, *, by: User) -> None:
    """Raises `Denied` for who may not approve policy, or wrote it; `Conflict` when it does not wait for approval."""
    if barred := why_not_approve(draft, by):
        raise Denied(barred)
    _move(draft, "approve", State.SUBMITTED, State.APPROVED, by=by, approved_by=by, approved_at=timezone.now())
    if _is_due(draft):
        apply(draft, by=by)


def decline(draft: PolicyDraft, *, by: User, reason: str) -> None:
    """The second person's no: it is a draft again, and says why to whoever wrote it."""
    if barred := why_not_approve(draft, by):
        raise Denied(barred)
    if not reason.strip():
        raise Invalid("Say why it is declined: whoever wrote it reads that.")
    said = f"{by} declined it: {reason.strip()}"
    _move(draft, "refuse", State.SUBMITTED, State.DRAFT, by=by, reason=reason.strip(), problem=said)


def withdraw(draft: PolicyDraft, *, by: User) -> None:
    if draft.state not in WAITING:
        raise Conflict(f"This draft is {draft.get_state_display().lower()}. It cannot be withdrawn.")
    _move(draft, "withdraw", draft.state, State.WITHDRAWN, by=by)


def why_not_approve(draft: PolicyDraft, by: User) -> str:
    """Say why this person may not approve it, or ""."""
    if barred := authority.why_not(by, Power.APPROVE_POLICY):
        return barred
    if by.pk == draft.made_by_id:
        return "You wrote this draft. A second person approves it."
    over = authority.scope(by, Power.APPROVE_POLICY, whole=True)
    if over.everywhere or all(source in over for source in _sources(draft)):
        return ""
    return "Your role may approve policy only of your own sources."


def _sources(draft: PolicyDraft) -> set[uuid.UUID | None]:
    """For studies of which sources a rule is, and would be; None: of every source."""
    model, before = versions.model_of(draft.kind), versions.newest(draft.kind, draft.key)
    said = [row.columns for row in (before, draft) if row and row.columns is not None]
    if model is Source:
        return {uuid.UUID(draft.key) if draft.key else None}
    return {uuid.UUID(found) if (found := columns.get("source_id")) else None for columns in said} or {None}


def _move(draft: PolicyDraft, verb: str, origin: str, to: str, *, by: User, reason: str = "", **columns) -> None:
    with transaction.atomic():
        if not PolicyDraft.objects.filter(pk=draft.pk, state=origin).update(state=to, **columns):
            draft.refresh_from_db()
            raise Conflict(f"This draft is {draft.get_state_display().lower()} by now. Look at it again.")
        audit.record(by, f"{verb} draft", draft, reason=reason or draft.why)
    draft.refresh_from_db()


def due() -> list[PolicyDraft]:
    """The drafts whose day has come."""
    come = Q(effective_from=None) | Q(effective_from__lte=timezone.now())
    rows = PolicyDraft.objects.filter(come, state=State.APPROVED).select_related("made_by", "approved_by")
    return list(rows.order_by(F("effective_from").asc(nulls_first=True), "made_at"))


def _is_due(draft: PolicyDraft) -> bool:
    return draft.effective_from is None or draft.effective_from <= timezone.now()


def apply(draft: PolicyDraft, *, by: User | str = audit.PORTAL) -> bool:
    """Put an approved draft in force. What cannot be saved any more is a draft again and says why: then False."""
    try:
        with transaction.atomic():
            if not PolicyDraft.objects.filter(pk=draft.pk, state=State.APPROVED).update(state=State.IN_FORCE):
                return False
            _write(draft, by=by)
    except (ValidationError, Conflict, IntegrityError, models.ProtectedError) as refusal:
        again = {"state": State.DRAFT, "approved_by": None, "approved_at": None, "problem": _said(refusal)}
        PolicyDraft.objects.filter(pk=draft.pk, state=State.APPROVED).update(**again)
    draft.refresh_from_db()
    return draft.state == State.IN_FORCE


def _said(refusal: Exception) -> str:
    if isinstance(refusal, ValidationError):
        return "; ".join(refusal.messages)
    if isinstance(refusal, Conflict):
        return str(refusal)
    return "It cannot be saved: something else hangs on this rule, or another one says the same already."


def _write(draft: PolicyDraft, *, by: User | str) -> None:
    model = versions.model_of(draft.kind)
    newest = versions.newest(draft.kind, draft.key) if draft.key else None
    if (newest.number if newest else 0) != draft.based_on:
        raise Conflict("The rule was changed since this draft was written. Look at both, and write it anew.")
    if barred := _why_barred(draft, draft.made_by):
        raise Conflict(f"{draft.made_by} wrote this, and may not do it any more: {barred}")
    signed = {"by": draft.made_by, "why": draft.why, "approved_by": draft.approved_by, "approved_at": draft.approved_at}
    detail = {"changes": told(draft), "written by": str(draft.made_by), "approved by": str(draft.approved_by or "")}
    if draft.columns is None:
        row = model._base_manager.filter(pk=draft.key).first()
        if row is None:
            raise Conflict("The rule is gone already.")
        audit.record(by, "delete", row, reason=draft.why, detail=detail)
        versions.remove(row, **signed)
        return
    row = versions.built(model, draft.key, draft.columns)
    if sign := getattr(row, "signed_by", None):
        sign(draft.approved_by or draft.made_by, timezone.now())
    _save(row)
    versions.keep(row, **signed)
    PolicyDraft.objects.filter(pk=draft.pk).update(key=str(row.pk))
    audit.record(by, "change" if draft.based_on else "add", row, reason=draft.why, detail=detail)


def _save(row: models.Model) -> None:
    """As the form would: validated, and only what a version holds is written."""
    row._state.adding = row.pk is None or not type(row)._base_manager.filter(pk=row.pk).exists()
    row.full_clean()
    if row._state.adding:
        row.save(force_insert=True)
    else:
        names = versions.columns_of(row)
        row.save(update_fields=[field.name for field in row._meta.concrete_fields if field.attname in names])


def wanted(draft: PolicyDraft) -> Wanted:
    """What a draft says, as it was wanted."""
    return Wanted(versions.model_of(draft.kind), draft.key, draft.columns, draft.title)


def differences(draft: PolicyDraft) -> list[versions.Difference]:
    """What a draft changes, in words, against the version that it was written from."""
    model = versions.model_of(draft.kind)
    before = versions.PolicyVersion.objects.filter(kind=draft.kind, key=draft.key, number=draft.based_on).first()
    return versions.differences(model, before and before.columns, draft.columns) if model else []


def told(draft: PolicyDraft) -> list[str]:
    return [f"{one.name}: '{one.old}' becomes '{one.new}'" for one in differences(draft)]
