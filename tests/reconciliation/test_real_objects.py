"""Every real object goes through a door or is refused with a reason; none is lost, none stops the others."""

import json

import pytest
from django.core.management import CommandError, call_command

from reconciliation import stores
from reconciliation.models import Instance, Study, Unreadable
from tests import make
from tests.reconciliation.dicom.test_header import INSIDE_PYDICOM

pytestmark = pytest.mark.django_db
OUTCOMES = {"held", "duplicate", "conflict", "rejected", "not_dicom"}


def imported(path, capsys) -> list[dict]:
    """The lines of `importmedia --json`, the summary last. It ends with an error when a file was rejected."""
    try:
        call_command("importmedia", str(path), "--source", str(make.source()), "--json")
    except CommandError:
        pass
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_all_real_objects_are_held_or_refused_with_a_reason(shared, data_dir, capsys):
    folder = shared / "dicom"
    *lines, summary = imported(folder, capsys)
    files = [path for path in folder.rglob("*") if path.is_file()]

    assert len(lines) == summary["files"] >= len(files)
    assert {line["outcome"] for line in lines} <= OUTCOMES
    assert all(line["reason"] for line in lines if line["outcome"] not in ("held",))
    kept = sum(line["outcome"] in ("held", "conflict") for line in lines)
    assert Instance.objects.count() == kept > 250
    assert sum(Study.objects.values_list("number_of_instances", flat=True)) == kept
    assert Unreadable.objects.count() == sum(line["outcome"] == "rejected" for line in lines)
    vault = stores.vault()
    assert all(vault.has(digest) for digest in Instance.objects.values_list("digest", flat=True))
    assert all(vault.has(digest) for digest in Unreadable.objects.values_list("digest", flat=True))
    assert list(stores.spool().keys()) == []


def test_all_media_are_walked_to_the_end(shared, data_dir, capsys):
    *lines, summary = imported(shared / "media", capsys)

    assert len(lines) == summary["files"]
    assert {line["outcome"] for line in lines} <= OUTCOMES


def test_the_table_of_contents_of_a_disc_is_no_file_that_failed(data_dir, capsys):
    disc = INSIDE_PYDICOM / "dicomdirtests" / "DICOMDIR"
    call_command("importmedia", str(disc), "--source", str(make.source()), "--json")
    line, _summary = map(json.loads, capsys.readouterr().out.splitlines())

    assert (line["outcome"], "DICOMDIR" in line["reason"]) == ("not_dicom", True)
    assert not Unreadable.objects.exists()
