import hashlib
import stat

import pytest

from reconciliation.dicom.vault import PREFIXES, Mismatch, Vault, digests

DATA = b"meta|data set"
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def vault(tmp_path):
    return Vault(tmp_path / "vault")


@pytest.fixture
def arrival(tmp_path):
    path = tmp_path / "1"
    path.write_bytes(DATA)
    return path


def test_a_file_gets_a_second_name_under_its_digest_and_cannot_be_written(vault, arrival):
    kept = vault.link(arrival, DIGEST)

    assert kept == vault.root / DIGEST[:2] / DIGEST[2:4] / DIGEST
    assert kept.stat().st_ino == arrival.stat().st_ino
    assert stat.S_IMODE(kept.stat().st_mode) == 0o440


def test_linking_again_after_a_crash_changes_nothing(vault, arrival):
    first = vault.link(arrival, DIGEST)
    inode = first.stat().st_ino

    assert vault.link(arrival, DIGEST).stat().st_ino == inode
    assert first.read_bytes() == DATA


def test_a_file_of_another_size_never_gives_way(vault, arrival):
    vault.link(arrival, DIGEST)
    arrival.unlink()
    arrival.write_bytes(DATA + b"more")

    with pytest.raises(Mismatch):
        vault.link(arrival, DIGEST)

    assert arrival.exists()


def test_the_spool_can_let_go_once_a_file_is_linked(vault, arrival):
    kept = vault.link(arrival, DIGEST)
    arrival.unlink()

    assert kept.read_bytes() == DATA


def test_it_has_only_what_it_took(vault, arrival):
    assert not vault.has(DIGEST)
    vault.link(arrival, DIGEST)
    assert vault.has(DIGEST)


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", DIGEST.upper(), DIGEST[:-1]])
def test_only_a_digest_is_a_name(vault, digest):
    with pytest.raises(ValueError, match="SHA-256"):
        vault.path(digest)


def test_many_files_are_durable_when_linking_comes_back(vault, tmp_path, monkeypatch):
    files = [(tmp_path / str(n), hashlib.sha256(bytes([n])).hexdigest()) for n in range(20)]
    for n, (path, _) in enumerate(files):
        path.write_bytes(bytes([n]))
    synced = []
    monkeypatch.setattr("reconciliation.dicom.vault.fsync_folder", lambda folder: synced.append((folder, linked())))

    def linked():
        return sum(vault.has(digest) for _, digest in files)

    vault.link_all(files)
    entries = {vault.path(digest).parent for _, digest in files}
    assert {folder for folder, _ in synced} == entries | {folder.parent for folder in entries} | {vault.root}
    assert {count for _, count in synced} == {20}


def test_what_is_kept_is_listed_with_its_size_and_whether_the_spool_still_has_it(vault, arrival):
    vault.link(arrival, DIGEST)
    assert [kept for prefix in PREFIXES for kept in vault.kept(prefix)] == [(DIGEST, len(DATA), 2)]

    arrival.unlink()
    assert [kept.links for kept in vault.kept(DIGEST[:2])] == [1]


def test_the_second_digest_leaves_the_meta_out(arrival):
    whole, dataset = digests(arrival, 5)

    assert whole == DIGEST
    assert dataset == hashlib.sha256(b"data set").hexdigest()


def test_digests_of_more_than_one_buffer_are_right(tmp_path):
    data = bytes(range(256)) * 10_000
    path = tmp_path / "big"
    path.write_bytes(data)

    assert digests(path, 300) == (hashlib.sha256(data).hexdigest(), hashlib.sha256(data[300:]).hexdigest())
