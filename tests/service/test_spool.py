"""Files that are whole and on the disk, or not there."""

import os
import stat

import pytest

from alta_sdk.service.spool import Spool


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path / "state" / "spool")


@pytest.mark.skipif(os.name == "nt", reason="POSIX alone has modes")
def test_folder_and_files_are_their_owners_alone(spool):
    name = spool.write((b"x",))
    assert stat.S_IMODE(spool.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(spool.find(name).stat().st_mode) == 0o600
    spool.folder.chmod(0o755)
    assert stat.S_IMODE(Spool(spool.folder).folder.stat().st_mode) == 0o700


def test_a_file_holds_its_parts_and_its_name_says_nothing(spool):
    one, other = spool.write((b"a", memoryview(b"bc"))), spool.write((b"a", b"bc"))
    assert spool.find(one).read_bytes() == b"abc"
    assert one != other


@pytest.mark.parametrize("step", ["os.fsync", "sync_folder"])
def test_what_fails_leaves_nothing(spool, monkeypatch, step):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"alta_sdk.service.spool.{step}", fail)
    with pytest.raises(OSError, match="No space left"):
        spool.write((b"x",))
    assert list(spool.folder.iterdir()) == []


def test_file_and_folder_are_flushed_before_a_name_is_given(spool, monkeypatch):
    flushed, real = [], os.fsync

    def flush(descriptor):
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        names = [path.name for path in spool.folder.iterdir()]
        flushed.append("folder" if is_folder else (os.fstat(descriptor).st_size, names))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", flush)
    name = spool.write((b"x",))
    assert flushed[:1] == [(1, [name])]
    assert flushed[1:] == (["folder"] if os.name == "posix" else [])


def test_files_that_are_gone_are_removed_again(spool):
    name = spool.write((b"x",))
    spool.remove((name, name, "f" * 32 + ".dcm"))
    assert list(spool.folder.iterdir()) == []


def test_what_is_left_over_is_removed_and_counted(spool):
    needed = spool.write((b"x",))
    spool.write((b"y",))
    (spool.folder / ".half.tmp").write_bytes(b"z")
    (spool.folder / "priors" / "of").mkdir(parents=True)
    assert spool.remove_others({needed}) == 3
    assert [path.name for path in spool.folder.iterdir()] == [needed]


def test_the_free_space_is_a_number_of_mebibytes(spool):
    assert 0 <= spool.measure_free_mib() < 1 << 40
