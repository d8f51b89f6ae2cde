"""Scanned consent forms: taken by what they contain, kept under their SHA-256, given out as a download alone."""

import hashlib
import io
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from PIL import Image

from policies import audit
from policies.models import User
from policies.problems import Invalid
from reconciliation import clearance
from reconciliation.dicom.spool import fsync_folder
from reconciliation.models import ConsentEvidence, Study
from reconciliation.workflow import why_not

LARGEST = 10 * 1024 * 1024  # bytes
MOST_PIXELS = 100_000_000  # a page at 600 dpi has 35 million
ONLY = "Only a PDF, a JPEG or a PNG is taken as a scanned form."
Type = ConsentEvidence.Type
PICTURES = {b"\xff\xd8\xff": (Type.JPEG, "JPEG"), b"\x89PNG\r\n\x1a\n": (Type.PNG, "PNG")}


def keep(study: Study, file: BinaryIO, *, by: User) -> ConsentEvidence:
    """Store a scanned form for a study whose consent `by` may record now. The same bytes are kept once."""
    refusal = why_not(study, "clear", by)
    if refusal and clearance.why_not_renew(study, by):
        raise refusal
    data = file.read(LARGEST + 1)
    media_type = judged(data)
    digest = hashlib.sha256(data).hexdigest()
    _write(path(digest), data)
    with transaction.atomic():
        columns = {"media_type": media_type, "size": len(data), "kept_by": by, "kept_at": timezone.now()}
        kept, new = ConsentEvidence.objects.get_or_create(study=study, digest=digest, defaults=columns)
        if new:
            audit.record(by, "keep consent form", study, detail={"digest": digest, "type": media_type})
    return kept


def path(digest: str) -> Path:
    return folder() / digest[:2] / digest[2:4] / digest


def folder() -> Path:
    return settings.DATA_DIR / "evidence"


def files() -> Iterator[Path]:
    """Everything that lies there, whoever put it: files, and whatever else is no folder."""
    for here, _, names in os.walk(folder()):
        yield from (Path(here) / name for name in sorted(names))


def judged(data: bytes) -> str:
    """The media type by content, whatever the file is called; raises `Invalid` for what is no scanned form."""
    if not data:
        raise Invalid("The scanned form is an empty file.")
    if len(data) > LARGEST:
        raise Invalid("The scanned form is larger than 10 MB. Scan it in grey, or at 300 dpi.")
    if data.startswith(b"%PDF-"):
        if b"%%EOF" not in data[-1024:]:
            raise Invalid("The PDF is cut off. Save or scan it again.")
        return Type.PDF
    for start, (media_type, name) in PICTURES.items():
        if data.startswith(start):
            _require_whole(data, name)
            return media_type
    raise Invalid(ONLY)


def _require_whole(data: bytes, name: str) -> None:
    """Look at the head of the picture and at its end; nothing is decoded here."""
    try:
        with Image.open(io.BytesIO(data), formats=[name]) as picture:
            pixels = picture.width * picture.height
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise Invalid(ONLY) from None
    if pixels > MOST_PIXELS:
        raise Invalid("The scanned form has too many pixels. Scan it at 300 dpi.")
    end = b"\xff\xd9" if name == "JPEG" else b"IEND"
    if end not in data[-64:]:
        raise Invalid("The picture of the form is cut off. Save or scan it again.")


def _write(target: Path, data: bytes) -> None:
    """Durable under its name when this returns."""
    target.parent.mkdir(parents=True, exist_ok=True)
    made = target.with_name(f"{uuid.uuid4().hex}.part")
    with open(made, "xb") as file:
        os.chmod(made, 0o440)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    made.replace(target)
    for folder in (target.parent, target.parent.parent, target.parent.parent.parent):
        fsync_folder(folder)
