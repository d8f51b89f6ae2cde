"""Anchors of the ledger: each morning the end of the chain is noted where nobody at the portal can change it.

Whoever rewrites the whole chain afterwards cannot rewrite the file on other storage, the mail, or the audit repository.
"""

import logging
import os
from pathlib import Path
from typing import NamedTuple

from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.utils import timezone

from policies import audit
from policies.models import LedgerAnchor, LedgerHead, LedgerLine
from policies.problems import Invalid

log = logging.getLogger(__name__)
FILE = "ledger-anchors.txt"


class Noted(NamedTuple):
    """One line of the file: day, number of the newest line, its digest, how many lines there were."""

    day: str
    line: int
    digest: str
    lines: int


def keep() -> int:
    """Make the anchor of today, once, and take those that are not there yet to the file and into the mail.

    What cannot be written or mailed now is tried again by the next sweep. Answers how many anchors were made.
    """
    made = _make()
    try:
        export()
    except OSError:
        log.exception("The anchors of the ledger cannot be written to %s", settings.ANCHOR_DIR)
    _mail()
    return made


def _make() -> int:
    today = timezone.localdate()
    if LedgerAnchor.objects.filter(day=today).exists():
        return 0
    with transaction.atomic():
        head = LedgerHead.objects.select_for_update().filter(pk=1).first()
        if head is None or not head.line or LedgerAnchor.objects.filter(day=today).exists():
            return 0
        columns = {"line": head.line, "digest": head.digest, "lines": LedgerLine.objects.count()}
        made = LedgerAnchor.objects.create(day=today, **columns)
        audit.record(audit.PORTAL, "anchor", "ledger", key="ledger", detail={"anchor": str(made)})
    return 1


def export() -> None:
    """Append to the file what is not in it yet; the file is the only mark of how far it is. Raises OSError."""
    path = Path(settings.ANCHOR_DIR) / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = path.read_text() if path.exists() else ""
    written = {line.split()[0] for line in whole.splitlines(keepends=True) if line.endswith("\n") and line.strip()}
    new = [str(anchor) for anchor in LedgerAnchor.objects.all() if f"{anchor.day}" not in written]
    if not new:
        return
    with path.open("a") as file:
        file.write("\n" * (not whole.endswith("\n") and bool(whole)))  # a line that was cut short stays by itself
        file.write("".join(f"{line}\n" for line in new))
        file.flush()
        os.fsync(file.fileno())


def _mail() -> None:
    if not settings.ANCHOR_MAIL:
        return
    for anchor in LedgerAnchor.objects.filter(mailed_at=None):
        subject = f"{settings.AE_TITLE}: the ledger on {anchor.day:%Y-%m-%d}"
        try:
            send_mail(subject, f"{anchor}\n", None, settings.ANCHOR_MAIL)
        except OSError:  # smtplib's refusals are OSErrors too
            log.exception("The anchor of %s could not be mailed", anchor.day)
            return
        LedgerAnchor.objects.filter(pk=anchor.pk).update(mailed_at=timezone.now())


def read(path: Path) -> list[Noted]:
    """What a file of anchors says. Raises OSError and Invalid."""
    found = []
    for number, text in enumerate(path.read_text().splitlines(), 1):
        parts = text.split()
        if len(parts) != 4 or not (parts[1] + parts[3]).isdigit():
            raise Invalid(f"Line {number} of {path} is no anchor: day, line, digest and count are expected.")
        found.append(Noted(parts[0], int(parts[1]), parts[2], int(parts[3])))
    return found


def verify(noted: list[Noted]) -> str:
    """Name the first anchor that the chain does not pass through, or ""."""
    for one in noted:
        digest = LedgerLine.objects.filter(pk=one.line).values_list("digest", flat=True).first()
        if digest is None:
            return f"Line {one.line} is missing, which was there on {one.day}."
        if digest != one.digest:
            return f"Line {one.line} is another than on {one.day}: the chain was written anew up to there."
        if LedgerLine.objects.filter(pk__lte=one.line).count() != one.lines:
            return f"There are not as many lines up to {one.line} as on {one.day}."
    return ""
