import uuid

import pytest

from reconciliation.dicom.arrival import Origin
from reconciliation.dicom.journal import Entry, Journal

KEY = str(uuid.uuid4())
ORIGIN = Origin(door="media", user="desk", note="a note", label="Disc 1")
SOURCE = {"key": "7", "name": "General Hospital", "issuer": "GENERAL", "ae_title": "SENDER"}
ONE, TWO = Entry(1, "a" * 64, "IMG/1"), Entry(2, "b" * 64, "")


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / "journal")


def test_a_story_is_read_as_it_was_written(journal):
    journal.begin(KEY, ORIGIN, SOURCE)
    journal.add(KEY, "2026-01-01T10:00:00Z", [ONE])
    journal.add(KEY, "2026-01-01T10:00:01Z", [TWO])
    journal.close(KEY, "2026-01-01T10:00:02Z")

    story = journal.read(KEY)
    assert (story.origin, story.source, story.closed) == (ORIGIN, SOURCE, "2026-01-01T10:00:02Z")
    assert [entries for _, entries in story.batches] == [[ONE], [TWO]]
    assert list(journal.keys()) == [KEY]


def test_it_begins_once(journal):
    journal.begin(KEY, ORIGIN, SOURCE)
    journal.begin(KEY, Origin(door="dimse"), {})

    assert journal.read(KEY).origin == ORIGIN


@pytest.mark.parametrize("left", [1, 10, 60])
def test_a_line_cut_by_a_power_failure_spoils_no_other(journal, left):
    journal.begin(KEY, ORIGIN, SOURCE)
    journal.add(KEY, "2026-01-01T10:00:00Z", [ONE])
    whole = journal.path(KEY).read_bytes()
    journal.add(KEY, "2026-01-01T10:00:01Z", [TWO])
    journal.path(KEY).write_bytes(journal.path(KEY).read_bytes()[: len(whole) + left])
    journal.add(KEY, "2026-01-01T10:00:09Z", [TWO])

    assert [(at[-3:-1], entries) for at, entries in journal.read(KEY).batches] == [("00", [ONE]), ("09", [TWO])]


def test_what_is_not_written_down_has_no_story(journal):
    assert (journal.read(KEY), list(journal.keys())) == (None, [])


def test_a_journal_cut_in_its_first_line_begins_anew(journal):
    journal.begin(KEY, ORIGIN, SOURCE)
    journal.path(KEY).write_bytes(b'{"orig')
    journal.begin(KEY, ORIGIN, SOURCE)

    assert journal.read(KEY).origin == ORIGIN


@pytest.mark.parametrize("key", ["", "../../etc/passwd"])
def test_what_is_no_key_of_ours_has_no_place(journal, key):
    with pytest.raises(ValueError, match="UUID"):
        journal.path(key)
