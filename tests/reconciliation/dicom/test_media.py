import os
import stat
import struct
import zipfile
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file

from reconciliation.dicom import media
from reconciliation.dicom.media import Limits, Refused

CT = Path(get_testdata_file("CT_small.dcm"))


def archive(path: Path, entries: dict[str | zipfile.ZipInfo, bytes], how=zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", how) as file:
        for name, data in entries.items():
            file.writestr(name, data)
    return path


def contents(path: Path, **limits) -> dict[str, bytes | str]:
    """Name to bytes, or to the sentence that says why not."""
    return {found.name: found.problem or read(found) for found in media.walk(path, limits=Limits(**limits))}


def read(found) -> bytes | str:
    try:
        with found.open() as stream:
            return stream.read()
    except Refused as why:
        return str(why)


def test_a_folder_gives_every_file_in_order(tmp_path):
    for name in ("b/2", "b/1", "a", "DICOMDIR"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)

    assert contents(tmp_path) == {"DICOMDIR": b"DICOMDIR", "a": b"a", "b/1": b"b/1", "b/2": b"b/2"}


def test_one_file_is_all_there_is():
    [found] = media.walk(CT)

    assert (found.name, found.size, found.problem) == ("CT_small.dcm", CT.stat().st_size, "")
    assert read(found) == CT.read_bytes()


def test_links_are_named_and_never_followed(tmp_path):
    (tmp_path / "file").symlink_to("/etc/passwd")
    (tmp_path / "folder").symlink_to("/etc")
    (tmp_path / "loop").symlink_to(tmp_path)

    found = list(media.walk(tmp_path))

    assert [each.name for each in found] == ["file", "folder", "loop"]
    assert all("link" in each.problem for each in found)
    with pytest.raises(Refused):
        found[0].open()


def test_a_file_that_becomes_a_link_is_not_followed(tmp_path):
    (tmp_path / "file").write_text("harmless")
    [found] = media.walk(tmp_path)
    (tmp_path / "file").unlink()
    (tmp_path / "file").symlink_to("/etc/passwd")

    with pytest.raises(OSError, match="symbolic"):
        found.open()


def test_a_pipe_holds_nobody_up(tmp_path):
    os.mkfifo(tmp_path / "pipe")

    assert "not an ordinary file" in contents(tmp_path)["pipe"]


def test_a_zip_gives_its_files_without_unpacking_it(tmp_path):
    path = archive(tmp_path / "disc.zip", {"DICOM/IM1": CT.read_bytes(), "DICOM/empty": b"", "folder/": b""})

    assert contents(path) == {"DICOM/IM1": CT.read_bytes(), "DICOM/empty": b""}
    assert list(tmp_path.iterdir()) == [path]


def test_files_of_a_zip_can_be_opened_after_the_walk(tmp_path):
    found = list(media.walk(archive(tmp_path / "disc.zip", {"1": b"one", "2": b"two"})))

    assert [read(each) for each in found] == [b"one", b"two"]


@pytest.mark.parametrize("name", ["../../x", "/abs", "C:\\x", "a/../../x", "..\\..\\x"])
def test_a_name_that_points_outside_is_refused(name, tmp_path):
    [problem] = contents(archive(tmp_path / "evil.zip", {name: b"x"})).values()

    assert "points outside" in problem


def test_a_link_in_a_zip_is_refused(tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16

    assert "is a link" in contents(archive(tmp_path / "evil.zip", {link: b"/etc/passwd"}))["link"]


def test_an_archive_within_an_archive_is_refused(tmp_path):
    inner = archive(tmp_path / "inner.zip", {"x": b"x"})

    assert "archive within" in contents(archive(tmp_path / "outer.zip", {"image": inner.read_bytes()}))["image"]


def test_a_locked_file_asks_for_the_password(tmp_path):
    path = archive(tmp_path / "locked.zip", {"IM1": b"secret"})
    data = bytearray(path.read_bytes())
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + at] |= 1
    path.write_bytes(data)

    assert "password" in contents(path)["IM1"]


def test_a_bomb_is_refused_before_a_byte_of_it_is_read(tmp_path):
    path = archive(tmp_path / "bomb.zip", {"zeros": bytes(300 << 20), "IM1": b"image"})

    found = contents(path)

    assert "packed so tightly" in found["zeros"]
    assert found["IM1"] == b"image"


def test_a_black_image_is_no_bomb(tmp_path):
    assert contents(archive(tmp_path / "black.zip", {"IM1": bytes(2 << 20)}))["IM1"] == bytes(2 << 20)


def test_a_lying_size_ends_the_reading(tmp_path):
    path = archive(tmp_path / "lie.zip", {"IM1": bytes(1 << 20)})
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.index(b"PK\x01\x02") + 24, 1000)
    path.write_bytes(data)

    assert "damaged" in contents(path)["IM1"]


def test_all_files_together_have_a_limit(tmp_path):
    path = archive(tmp_path / "large.zip", {str(n): bytes(1000) for n in range(5)}, zipfile.ZIP_STORED)

    found = contents(path, total_bytes=3500)

    assert [found[str(n)] for n in range(3)] == [bytes(1000)] * 3
    assert "more than can be imported" in found["3"]


def test_one_file_has_a_limit(tmp_path):
    assert "too large" in contents(archive(tmp_path / "a.zip", {"IM1": bytes(2000)}), file_bytes=1000)["IM1"]


def test_too_many_entries_are_refused_before_they_are_listed(tmp_path):
    path = archive(tmp_path / "many.zip", {str(n): b"" for n in range(70_000)}, zipfile.ZIP_STORED)

    [problem] = contents(path).values()

    assert "too many files" in problem


@pytest.mark.parametrize("keep", [10, 200, -30])
def test_a_damaged_archive_is_said_to_be_damaged(keep, tmp_path):
    path = archive(tmp_path / "cut.zip", {"IM1": CT.read_bytes()})
    path.write_bytes(path.read_bytes()[:keep])

    [problem] = contents(path).values()

    assert "damaged" in problem


def test_a_damaged_entry_leaves_the_others_alone(tmp_path):
    path = archive(tmp_path / "half.zip", {"IM1": CT.read_bytes(), "IM2": b"fine"})
    data = bytearray(path.read_bytes())
    data[200:260] = bytes(60)
    path.write_bytes(data)

    found = contents(path)

    assert "damaged" in found["IM1"]
    assert found["IM2"] == b"fine"


def test_a_dicom_file_with_an_archive_in_its_preamble_is_a_dicom_file(tmp_path):
    path = tmp_path / "IM1"
    path.write_bytes(b"PK\x03\x04" + CT.read_bytes()[4:])

    assert list(contents(path)) == ["IM1"]


def test_every_file_of_a_real_disc_is_found():
    disc = Path(pydicom.__file__).parent / "data" / "test_files" / "dicomdirtests"

    found = contents(disc)

    assert set(found) == {str(path.relative_to(disc)) for path in disc.rglob("*") if path.is_file()}
    assert all(isinstance(data, bytes) for data in found.values())
