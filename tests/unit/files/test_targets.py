"""Files that a person asks for: whole or not at all, never over another's, through what is no file."""

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from alta_sdk import AltaError
from alta_sdk.files import streams
from alta_sdk.files.targets import check_target, refuse_inputs, write_target

posix_only = pytest.mark.skipif(os.name == "nt", reason="POSIX alone has it")


def is_ours(head):
    """Ours begin with a letter of the alphabet's beginning, in lower case."""
    return head[:1] in (b"a", b"b", b"c", "ä".encode()[:1])


def write(target, data=b"b", *, overwrite=False):
    write_target(target, data, "report", overwrite=overwrite, is_ours=is_ours)


def test_files_are_written_whole_and_replace_nothing(tmp_path, monkeypatch):
    target = tmp_path / "out.csv"
    write_target(target, "ä\n".encode(), "report", overwrite=False, is_ours=is_ours)
    assert target.read_bytes() == "ä\n".encode()
    with pytest.raises(AltaError, match="exists"):
        write_target(target, b"b", "report", overwrite=False, is_ours=is_ours)
    write_target(target, b"b", "report", overwrite=True, is_ours=is_ours)
    with pytest.raises(AltaError, match="folder of the report does not exist"):
        check_target(tmp_path / "absent" / "out.csv", "report", overwrite=False, is_ours=is_ours)

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("alta_sdk.files.atomic.os.replace", fail)
    with pytest.raises(AltaError, match="No space left"):
        write_target(target, b"c", "report", overwrite=True, is_ours=is_ours)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["b"]


@pytest.mark.parametrize("content", [b"The thesis", b"\0" * 100, b"%PDF-1.7", b"study,score\n1,0.5\n"])
def test_a_file_of_another_kind_is_not_replaced(tmp_path, content):
    target = tmp_path / "thesis.txt"
    target.write_bytes(content)
    for look in (check_target, lambda *given, **more: write_target(target, b"b", "report", **more)):
        with pytest.raises(AltaError, match="replaces only what it wrote"):
            look(target, "report", overwrite=True, is_ours=is_ours)
    assert target.read_bytes() == content and len(list(tmp_path.iterdir())) == 1


def test_an_empty_file_is_nobodys(tmp_path):
    (tmp_path / "out").touch()
    write(tmp_path / "out", overwrite=True)
    assert (tmp_path / "out").read_bytes() == b"b"


def test_of_many_that_write_at_once_one_is_told_that_it_did(tmp_path):
    told, barrier = [], threading.Barrier(8)

    def try_it(number):
        barrier.wait()
        try:
            write(tmp_path / "out", b"b%d" % number)
        except AltaError as error:
            assert "exists" in str(error)
        else:
            told.append(number)

    threads = [threading.Thread(target=try_it, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 1 and (tmp_path / "out").read_bytes() == b"b%d" % told[0]
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_a_disk_that_knows_neither_rename_nor_links_still_refuses_a_taken_name(tmp_path, monkeypatch):
    monkeypatch.setattr("alta_sdk.files.atomic._FLAGS", {})

    def refuse(*_):
        raise OSError(95, "Operation not supported")

    for links in (os.link, refuse):
        monkeypatch.setattr("alta_sdk.files.atomic.os.link", links)
        target = tmp_path / links.__name__
        write(target)
        with pytest.raises(AltaError, match="exists"):
            write(target, b"c")
        assert target.read_bytes() == b"b"
    assert not list(tmp_path.glob(".*"))


@posix_only
def test_modes_stay_and_new_ones_follow_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write(tmp_path / "new")
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
        for mode in (0o600, 0o644, 0o660, 0o444):
            (tmp_path / "new").chmod(mode)
            write(tmp_path / "new", b"c", overwrite=True)
            assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == mode
    finally:
        os.umask(before)


@posix_only
def test_a_link_stays_and_what_it_names_is_written(tmp_path):
    (tmp_path / "real").write_bytes(b"b")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "ahead").symlink_to("later")
    with pytest.raises(AltaError, match="exists"):
        write(tmp_path / "link")
    write(tmp_path / "link", b"c", overwrite=True)
    write(tmp_path / "ahead", b"c")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "ahead").is_symlink()
    assert (tmp_path / "real").read_bytes() == (tmp_path / "later").read_bytes() == b"c"
    (tmp_path / "real").write_bytes(b"Thesis")
    with pytest.raises(AltaError, match="replaces only"):
        write(tmp_path / "link", overwrite=True)


@posix_only
def test_a_fifo_is_written_through_and_one_that_nobody_reads_does_not_hang(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    read = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    write(tmp_path / "pipe", b"b" * 200_000)  # more than a pipe holds
    reader.join()
    assert read == [b"b" * 200_000] and stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    monkeypatch.setattr(streams, "READER_TIMEOUT_S", 0.1)
    with pytest.raises(AltaError, match="cannot be written"):
        write(tmp_path / "pipe", overwrite=True)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
@pytest.mark.parametrize("overwrite", [False, True])
def test_devices_are_written_through_and_stay(overwrite, tmp_path):
    write(Path("/dev/null"), overwrite=overwrite)
    (tmp_path / "link").symlink_to("/dev/full")
    for path in (Path("/dev/full"), tmp_path / "link"):
        with pytest.raises(AltaError, match="No space left"):
            write(path, overwrite=overwrite)
    for path in ("/dev/null", "/dev/full"):
        assert stat.S_ISCHR(os.stat(path).st_mode)


@posix_only
@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "link"])
def test_standard_output_is_written_through_also_where_it_is_a_file(name, tmp_path):
    if name.startswith("/proc") and not os.path.exists("/proc/self/fd"):
        pytest.skip("no C compiler")  # nor /proc: macOS
    (tmp_path / "link").symlink_to("/dev/stdout")
    code = (
        "import sys; from pathlib import Path; from alta_sdk.files.targets import write_target\n"
        "print('before'); write_target(Path(sys.argv[1]), b'b\\n', 'report', overwrite=False, is_ours=bool)\n"
        "print('after')"
    )
    with (tmp_path / "out").open("wb") as out:
        out.write(b"first\n")
        out.flush()
        subprocess.run([sys.executable, "-c", code, name], stdout=out, cwd=tmp_path, check=True)
    assert (tmp_path / "out").read_bytes() == b"first\nbefore\nb\nafter\n"


@posix_only
def test_folders_sockets_and_disks_are_refused(tmp_path, monkeypatch):
    import socket

    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(tmp_path)  # the name of a socket is short
        server.bind("socket")
        for path in (tmp_path / "socket", tmp_path):
            with pytest.raises(AltaError, match="give a file"):
                write(path, overwrite=True)


@posix_only
def test_an_input_is_never_an_output(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "table.csv").write_bytes(b"b")
    (tmp_path / "link").symlink_to("run")
    for output, read in (
        (tmp_path / "run" / "table.csv", tmp_path / "link" / "table.csv"),
        (tmp_path / "link", tmp_path / "run"),
        (tmp_path / "run", tmp_path / "link" / "table.csv"),
        (tmp_path, tmp_path / "run" / "table.csv"),
        (tmp_path / "not there", tmp_path / "run" / ".." / "not there"),
    ):
        with pytest.raises(AltaError, match="over what is read"):
            refuse_inputs(output, (None, read), "report")
    refuse_inputs(tmp_path / "run" / "out.csv", (tmp_path / "run", tmp_path / "run" / "table.csv"), "report")


def test_an_engines_folder_takes_no_output(tmp_path):
    engine = tmp_path / "a.alta"
    (engine / "sub").mkdir(parents=True)
    (engine / "manifest.json").write_text("{}")
    assert write(engine / "x.csv") is None  # a folder with one such name is none
    (engine / "head.npz").write_bytes(b"")
    (tmp_path / "link").symlink_to(engine)
    for target in (engine / "y.csv", engine / "sub" / "y.csv", tmp_path / "link" / "y.csv"):
        with pytest.raises(AltaError, match="into an engine's folder"):
            write(target)
    assert write(tmp_path / "a.csv") is None
