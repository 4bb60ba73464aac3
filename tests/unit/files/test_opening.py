"""Paths that others give: an error of ours in one line without the path, and nothing is waited for."""

import ast
import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

import alta_runtimes
from alta_sdk import AltaError, Engine, ReportIndex, Study, StudyError
from alta_sdk.engine.signature import choose_trust, read_private_key
from alta_sdk.files.folders import check_folder
from alta_sdk.files.new_files import create_file
from alta_sdk.files.opening import check_name, is_there, open_file, read_bytes, read_text
from alta_sdk.files.targets import is_same_file, is_within, write_target
from alta_sdk.index.embedding import check_index_target, list_entries
from alta_sdk.index.search import IndexOrigin
from alta_sdk.matching.ranking import read_reports
from alta_sdk.study.key import identify_unreadable, open_site_key
from alta_sdk.study.labelled import read_labelled_studies
from alta_sdk.study.lists import list_studies
from alta_sdk.study.study import load_study

pipes_only = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names on this system")
NO_NAMES = ("a\0b", "a\0b/c", "a\ud800b", "\0")
KEYS = [bytes([number]) * 16 for number in range(3)]


def write_index(path):
    return ReportIndex.write(path, np.eye(3, dtype=np.float32), KEYS, IndexOrigin("reports", "engine"))


READERS = {
    "study": Study.from_dicom,
    "studies": lambda path: Study.from_dicom([path, path]),
    "prior": lambda path: Study.from_dicom(path, path),
    "picture": Study.from_images,
    "load_study": load_study,
    "reports": read_reports,
    "table": lambda path: read_reports(f"{path}.csv"),
    "trust": choose_trust,
    "signing key": lambda path: read_private_key(Path(path)),
    "site key": lambda path: open_site_key(path, Path()),
    "engine": Engine.open,
    "index": ReportIndex.open,
    "graph": partial(alta_runtimes.load, runtime="onnxruntime", name="image.onnx"),
    "folder": lambda path: list_entries(Path(path)),
    "listed": lambda path: list_studies(path)[0].read(),
}
WRITERS = {
    "target": lambda path: write_target(Path(path), b"x", "heat map", overwrite=False, is_ours=bool),
    "replaced": lambda path: write_target(Path(path), b"x", "heat map", overwrite=True, is_ours=bool),
    "index": write_index,
    "index of embed": lambda path: check_index_target(Path(path)),
}


@pytest.fixture
def locked(tmp_path):
    """A folder that may not be looked into, by root neither."""
    folder = tmp_path / "MUELLER^HANS"
    folder.mkdir()
    (folder / "there").write_bytes(b"x")
    folder.chmod(0)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    yield folder
    if is_root:
        os.seteuid(0)
    folder.chmod(0o700)


def refuse(use, path):
    """Return the one line that a path is refused in."""
    with pytest.raises(AltaError) as caught:
        use(path)
    message = str(caught.value)
    assert "\n" not in message and "MUELLER" not in message and "nnn" not in message, message
    return message


@pytest.mark.skipif(os.name == "nt", reason="modes say nothing on Windows")
@pytest.mark.parametrize("use", [*READERS.values(), *WRITERS.values()], ids=[*READERS, *(f"new {n}" for n in WRITERS)])
def test_a_locked_folder_is_told_without_its_path(use, locked):
    for name in ("there", "absent", "absent/file"):
        refuse(use, str(locked / name))


@pytest.mark.parametrize("use", [*READERS.values(), *WRITERS.values()], ids=[*READERS, *(f"new {n}" for n in WRITERS)])
def test_a_name_that_no_file_can_have_is_told_without_it(use, tmp_path):
    for name in (*NO_NAMES, "n" * 300, f"{'n' * 300}/x", "n/" * 4000):
        refuse(use, f"{tmp_path}/MUELLER{name}")


@pytest.mark.skipif(os.name == "nt", reason="modes say nothing on Windows")
def test_a_site_key_is_told_where_the_settings_are_locked(locked, monkeypatch, tmp_path):
    monkeypatch.delenv("ALTA_SITE_KEY", raising=False)
    for folder in (locked, locked / "there", locked / "absent"):
        monkeypatch.setenv("XDG_CONFIG_HOME", str(folder))
        assert "Permission denied" in refuse(lambda path: open_site_key(None, path), tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / ("n" * 300)))
    refuse(lambda path: open_site_key(None, path), tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="modes say nothing on Windows")
def test_an_output_in_a_locked_folder_is_refused_before_the_work(locked):
    with pytest.raises(AltaError, match="parent folder does not exist"):
        check_folder(locked / "a" / "b", overwrite=False, list_own=lambda _: (), by="publish.py", error=AltaError)
    with pytest.raises(AltaError, match="cannot be written: Permission denied"):
        write_target(locked / "new", b"", "report", overwrite=False, is_ours=bool)


def test_a_cell_of_a_table_may_hold_what_is_no_name(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"study,edema\na\0b,1\n")
    (path,) = read_labelled_studies(tmp_path / "t.csv", "study", ["edema"]).paths
    with pytest.raises(StudyError, match="no file can have this name"):
        load_study(path)


@pytest.mark.parametrize("name", NO_NAMES)
def test_every_use_of_a_name_that_no_file_can_have_ends_in_one_kind_of_error(name, tmp_path):
    path = tmp_path / name
    for use in (check_name, is_there, open_file, read_bytes, read_text, lambda one: create_file(one, b"", 0o600)):
        with pytest.raises(OSError, match="no file can have this name"):
            use(path)
    assert not is_same_file(path, tmp_path) and is_same_file(path, path) and not is_within(path, tmp_path / name / "x")
    assert identify_unreadable(path).startswith(b"name:")


def test_what_is_there_is_told_and_what_cannot_be_told_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    assert is_there(tmp_path) and is_there(tmp_path / "file")
    assert not is_there(tmp_path / "absent") and not is_there(tmp_path / "file" / "below")
    if os.name != "nt":
        (tmp_path / "nowhere").symlink_to("absent")
        (tmp_path / "itself").symlink_to("itself")
        assert not is_there(tmp_path / "nowhere")
        with pytest.raises(OSError, match="Too many levels"):
            is_there(tmp_path / "itself")


def test_bytes_are_bounded_and_text_is_read_as_python_reads_it(tmp_path):
    (tmp_path / "a").write_bytes("ä\r\nb\rc\n".encode())
    assert read_bytes(tmp_path / "a") == "ä\r\nb\rc\n".encode()
    assert read_bytes(tmp_path / "a", 3) == b"\xc3\xa4\r\n" and read_bytes(tmp_path / "a", 100) == read_bytes(
        tmp_path / "a"
    )
    assert read_text(tmp_path / "a") == (tmp_path / "a").read_text(encoding="utf-8") == "ä\nb\nc\n"
    (tmp_path / "a").write_bytes(b"a\xffb")
    assert read_text(tmp_path / "a", errors="ignore") == "ab"
    with pytest.raises(UnicodeDecodeError):
        read_text(tmp_path / "a")


@pipes_only
@pytest.mark.parametrize("kind", ["pipe", "device", "link to a pipe"])
@pytest.mark.parametrize("use", READERS.values(), ids=READERS)
def test_what_is_no_file_is_refused_at_once(use, kind, tmp_path, make_special, run_in_time):
    for name in ("given", "given.csv"):
        make_special(kind, tmp_path / name)
    run_in_time(lambda: refuse(use, str(tmp_path / "given")))


@pipes_only
@pytest.mark.parametrize("kind", ["pipe", "device", "link to a pipe"])
def test_what_is_no_file_is_no_trusted_key_of_the_environment_either(
    kind, tmp_path, make_special, run_in_time, monkeypatch
):
    make_special(kind, tmp_path / "key.pub")
    monkeypatch.setenv("ALTA_TRUST", str(tmp_path / "key.pub"))
    assert "a pipe, a socket or a device" in run_in_time(lambda: refuse(choose_trust, None))


# What is opened or asked for without `open_file`, and why that cannot wait or raise with a path in the message.
ALLOWED = {
    # the system's own, and files of the packages
    "alta_sdk/engine/processor.py: open",
    "alta_sdk/files/limits.py: open",
    "alta_sdk/dicom/decode_worker.py: os.open",
    "alta_sdk/cli/terminal.py: os.open",
    "alta_sdk/bench/cold_start.py: Path('/proc/self/status').read_text",
    "alta_sdk/report/templates.py: (files(__package__) / name).read_text",
    # the one opener, and what is written
    "runtimes/alta_runtimes/opening.py: os.open",
    "alta_sdk/files/appending.py: os.open",
    "alta_sdk/files/streams.py: open",
    "alta_sdk/files/streams.py: os.open",
    "alta_sdk/files/new_files.py: os.open",
    "alta_sdk/files/atomic.py: open",
    "alta_sdk/files/atomic.py: os.open",
    "alta_sdk/files/atomic.py: temporary.is_dir",
    "alta_sdk/index/file.py: open",
    "alta_sdk/index/journal.py: os.open",
    "training/alta_training/data/feet.py: temporary.open",
    "training/alta_training/data/pixels.py: temporary.open",
    "training/alta_training/run/files.py: (folder / METRICS).open",
    "training/alta_training/cli/folds.py: (comparison.output / 'log.txt').open",
    "training/alta_training/cli/folds.py: (folder / 'labels.csv').open",
    # entries of a folder that is being read, members of an archive, files of a bundle
    "alta_sdk/dicom/folders.py: entry.is_dir",
    "alta_sdk/dicom/folders.py: entry.is_file",
    "alta_sdk/archive/object_store.py: entry.is_dir",
    "alta_sdk/dicom/archives.py: info.is_dir",
    "alta_sdk/dicom/archives.py: zipfile.ZipFile",
    "alta_sdk/engine/arrays.py: zipfile.ZipFile",
    "alta_sdk/engine/text_encoder.py: bundle.read_text",
    "alta_sdk/study/picture.py: Image.open",
    "alta_sdk/dicom/openjpeg.py: Image.open",  # of bytes in memory
    # a folder that a command writes, whose OSError it catches
    "alta_sdk/files/folders.py: target.exists",
    "alta_sdk/files/folders.py: entry.is_file",
    # libraries that open files themselves: `os.path.isfile` was asked, or the file is open
    "training/alta_training/families/checkpoint.py: safe_open",
    "training/alta_training/families/statements.py: safe_open",
    "training/alta_training/families/pickles.py: torch.load",
    "training/alta_training/families/pickles.py: zipfile.ZipFile",
    "training/alta_training/families/archives.py: zipfile.ZipFile",
    "training/alta_training/run/files.py: torch.load",
    "training/alta_training/data/teacher.py: np.load",
    # a cache that training keeps under hashes
    "training/alta_training/data/feet.py: np.load",
    "training/alta_training/data/pixels.py: np.load",
    # the service's own state, in a folder that nobody else may write into
    "alta_sdk/service/check.py: spool.find(name).read_bytes",
    "alta_sdk/service/choosing.py: open",
    "alta_sdk/service/database.py: Path(__file__).with_name('schema.sql').read_text",
    "alta_sdk/service/database.py: os.open",
    "alta_sdk/service/delivery.py: self._spool.find(delivery.file).read_bytes",
    "alta_sdk/service/finding_codes.py: Path(__file__).with_name('finding_codes.toml').read_text",
    "alta_sdk/service/priors.py: path.read_bytes",
    "alta_sdk/service/reading.py: open",
    "alta_sdk/service/spool.py: os.open",
    "alta_sdk/service/spool.py: path.is_dir",
    "alta_sdk/service/web/identifiers.py: view.spool.find(instance.file).open",
    "alta_sdk/service/web/rendering.py: (files(__package__) / name).read_text",
    # what a benchmark has just written, or the repository holds
    "benchmarks/cold_start.py: Path('/proc/self/smaps_rollup').exists",
    "benchmarks/cold_start.py: Path(f'/proc/{holders[1].pid}/smaps_rollup').read_text",
    "benchmarks/cold_start.py: told.read_text",
    "benchmarks/follow_up.py: (seeds / 'biovil' / 'golden.json').read_text",
    "benchmarks/service.py: path.is_file",
    "benchmarks/service_sides.py: Path(f'/proc/{pid}/status').read_text",
    "benchmarks/service_sides.py: open",
    "benchmarks/operator_profile.py: Path(session.end_profiling()).read_text",
    "benchmarks/overlap.py: Image.open",
    "benchmarks/plausibility.py: Image.open",
    "benchmarks/validation_time.py: table.open",
}
FUNCTIONS = {
    "open",
    "os.open",
    "io.open",
    "Image.open",
    "np.load",
    "torch.load",
    "safe_open",
    "zipfile.ZipFile",
    "ZipFile",
}
METHODS = {"read_text", "read_bytes", "exists", "is_file", "is_dir", "is_symlink", "is_fifo"}


def list_openings(source):
    """Return the functions by which a program opens files, or asks for them with an error for what is locked."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        method = getattr(node.func, "attr", "")
        mode = node.args[0] if node.args else None
        opens = method == "open" and isinstance(mode, ast.Constant) and isinstance(mode.value, str)
        if name in FUNCTIONS or opens or method in METHODS and not name.startswith("os.path."):
            found.add(name)
    return found


def test_given_paths_are_opened_in_one_place():
    packages = ("alta_sdk", "export", "training", "runtimes", "benchmarks")
    programs = [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]
    found = {
        f"{path.relative_to(ROOT).as_posix()}: {name}"
        for path in programs
        for name in list_openings(path.read_text(encoding="utf-8"))
    }
    assert found - ALLOWED == set(), "use alta_sdk.files.opening, or say here why this one cannot wait"
    assert ALLOWED - found == set(), "no longer there"


@pytest.mark.parametrize(
    "source",
    [
        "open(path)",
        "path.open('rb')",
        "path.read_text(encoding='utf-8')",
        "(a / 'b').read_bytes()",
        "io.open(p)",
        "p.exists()",
    ],
)
def test_a_bare_opening_is_found(source):
    assert len(list_openings(source)) == 1 and not list_openings("os.path.exists(p); read_text(p); Engine.open(p)")
