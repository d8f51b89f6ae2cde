"""A scanned form is taken by what it contains, kept durably under its digest, and given out as a download alone."""

import hashlib
import io
import zlib

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from PIL import Image

from policies.models import LedgerLine, Power
from policies.problems import Conflict, Denied, Invalid
from reconciliation import evidence
from reconciliation.models import ConsentEvidence, Study
from tests import make

pytestmark = pytest.mark.django_db
PDF = b"%PDF-1.7\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF\n"


def picture(kind: str) -> bytes:
    file = io.BytesIO()
    Image.new("L", (20, 30)).save(file, kind)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def bomb() -> bytes:
    """A PNG of a few bytes that says it is 60,000 x 60,000."""
    side = (60_000).to_bytes(4, "big")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", side + side + b"\x08\0\0\0\0") + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "media_type"),
    [(PDF, "application/pdf"), (picture("JPEG"), "image/jpeg"), (picture("PNG"), "image/png")],
    ids=["pdf", "jpeg", "png"],
)
def test_a_form_is_kept_under_its_digest_with_who_and_when(data, media_type):
    kept = evidence.keep(make.study("mapped"), io.BytesIO(data), by=make.user("desk"))

    assert (kept.media_type, kept.size, kept.kept_by.username) == (media_type, len(data), "desk")
    assert kept.digest == hashlib.sha256(data).hexdigest()
    assert evidence.path(kept.digest).read_bytes() == data
    assert LedgerLine.objects.get(verb="keep consent form").detail["digest"] == kept.digest


HOSTILE = {
    "nothing": b"",
    "a page": b"<html><script>alert(1)</script>",
    "a drawing with a script": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
    "a program": b"MZ\x90\0" + b"\0" * 200,
    "a zip": b"PK\x03\x04" + b"\0" * 200,
    "a page before a pdf": b"<html>" + PDF,
    "a pdf that is cut off": PDF[:20],
    "a jpeg in its first letters only": b"\xff\xd8\xff" + b"<script>" * 9,
    "a jpeg that is cut off": picture("JPEG")[:-40],
    "a png that is cut off": picture("PNG")[:-20],
    "a png that is another format": b"\x89PNG\r\n\x1a\n" + b"GIF89a" * 9,
    "a picture that grows": bomb(),
    "too large": PDF + b" " * evidence.LARGEST + b"%%EOF",
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_what_is_no_scanned_form_is_refused_and_leaves_nothing(data):
    with pytest.raises(Invalid):
        evidence.keep(make.study("mapped"), io.BytesIO(data), by=make.user("desk"))

    assert not ConsentEvidence.objects.exists()


def test_the_same_form_is_kept_once():
    study, desk = make.study("mapped"), make.user("desk")
    first, second = (evidence.keep(study, io.BytesIO(PDF), by=desk) for _ in range(2))

    assert first == second
    assert [path.name for path in evidence.path(first.digest).parent.iterdir()] == [first.digest]


def test_a_form_is_kept_by_who_may_clear_the_study_now():
    with pytest.raises(Denied):
        evidence.keep(make.study("mapped"), io.BytesIO(PDF), by=make.user("frontdesk"))
    with pytest.raises(Conflict):
        evidence.keep(make.study("held"), io.BytesIO(PDF), by=make.user("desk"))


# --- by the browser --------------------------------------------------------------------------------------------------


@pytest.fixture
def desk():
    client = Client()
    client.force_login(make.user("desk"))
    return client


def cleared(client, name="../../etc/passwd.html", data=PDF, **said):
    study = make.study("mapped")
    make.rule()
    form = {"version": study.version, "basis": "patient", "given_by": "Anna M.", "scope": ["care"], **said}
    answer = client.post(f"/studies/{study.pk}/clear/", form | {"scan": SimpleUploadedFile(name, data, "text/html")})
    return Study.objects.get(pk=study.pk), answer


def test_a_scan_is_evidence_enough_and_its_name_and_declared_type_count_for_nothing(desk):
    study, _answer = cleared(desk)

    assert (study.state, study.consent.scan.media_type) == ("cleared", "application/pdf")


def test_a_hostile_scan_is_refused_in_a_sentence(desk):
    study, answer = cleared(desk, "form.pdf", b"<html>")

    assert (study.state, answer.status_code) == ("mapped", 422)
    assert evidence.ONLY in answer.content.decode()


def test_a_form_is_given_out_as_a_download_alone_and_who_looked_is_in_the_ledger(desk):
    study, _answer = cleared(desk)
    answer = desk.get(f"/studies/{study.pk}/evidence/{study.consent.scan_id}/")

    assert b"".join(answer.streaming_content) == PDF
    assert answer["Content-Disposition"].startswith('attachment; filename="consent-')
    assert (answer["X-Content-Type-Options"], answer["Content-Type"]) == ("nosniff", "application/pdf")
    assert "sandbox" in answer["Content-Security-Policy"]
    assert LedgerLine.objects.filter(verb="read consent form", actor__contains="Desk").count() == 1


def test_a_form_is_not_there_for_who_may_not_view_the_study_nor_under_another_study(desk):
    study, _answer = cleared(desk)
    stranger = Client()
    stranger.force_login(make.user("lee", grants=[(Power.VIEW, make.source("Elsewhere"), None)]))

    assert stranger.get(f"/studies/{study.pk}/evidence/{study.consent.scan_id}/").status_code == 404
    assert desk.get(f"/studies/{make.study().pk}/evidence/{study.consent.scan_id}/").status_code == 404


def test_a_form_kept_for_another_study_proves_nothing_here():
    kept = evidence.keep(make.study("mapped"), io.BytesIO(PDF), by=make.user("desk"))
    make.rule()
    with pytest.raises(Invalid, match="kept for another study"):
        make.cleared(make.study("mapped"), make.CONSENT._replace(scan=kept))
