"""The audit log: a line a study, whole or not at all, of several processes at once, and no name in it."""

import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from alta_sdk import AltaError, Matcher
from alta_sdk.cli import main
from alta_sdk.files import appending
from alta_sdk.files.appending import append_line
from alta_sdk.matching.audit_log import AuditLog

LABELS = ("--labels", "edema,pneumonia")
MARKED = {"PatientName": "DOE^JANE", "PatientID": "MRN4711", "AccessionNumber": "ACC0815"}
posix_only = pytest.mark.skipif(os.name == "nt", reason="POSIX alone has this")


def alta(*arguments):
    return CliRunner().invoke(main, list(map(str, arguments)))


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]


@pytest.fixture
def folder(make_dicom, tmp_path):
    for number in range(2):
        make_dicom(f"DOE_JANE/{number}/MRN4711.dcm", StudyInstanceUID=f"1.2.999.4711.{number}", **MARKED)
    (tmp_path / "DOE_JANE" / "2.dcm").write_bytes((tmp_path / "DOE_JANE" / "0" / "MRN4711.dcm").read_bytes()[:900])
    return tmp_path / "DOE_JANE"


def test_embedding_a_folder_names_each_study_by_its_key_and_notes_what_is_refused(bundle, folder, make_dicom, tmp_path):
    (folder / "2.dcm").write_bytes(make_dicom("whole.dcm", StudyInstanceUID="1.2.999.5").read_bytes()[:900])
    log = tmp_path / "audit.jsonl"
    done = alta("embed", folder, "--engine", bundle, "--out", tmp_path / "i.index", "--json", "--audit", log)
    told = [(line["action"], line["study_key"], line["detail"]) for line in read(log)]
    keys = [study["key"] for study in json.loads(done.stdout)["studies"]]
    assert told == [("embedded", keys[0], ""), ("embedded", keys[1], ""), ("refused", keys[2], "DicomError")]


def test_off_by_default_and_a_line_a_study_where_it_is_asked_for(bundle, folder, tmp_path):
    log = tmp_path / "audit.jsonl"
    before = sorted(tmp_path.rglob("*"))
    assert alta("score", folder, "--engine", bundle, *LABELS).exit_code == 1
    assert sorted(tmp_path.rglob("*")) == before
    done = alta("score", folder, "--engine", bundle, *LABELS, "--json", "--audit", log)
    first, second, refused = read(log)
    studies = json.loads(done.stdout)["studies"]
    for line, study in zip((first, second), studies, strict=False):
        assert line["action"] == "scored" and line["scores"] == study["scores"]
        for name in ("engine_sha256", "pixels_sha256", "decoders", "prompts_sha256", "signature", "sdk_version"):
            assert line[name] == study["provenance"][name], name
    assert (refused["action"], refused["detail"]) == ("refused", "DicomError")
    assert list(first)[:6] == ["schema_version", "at", "actor", "action", "study_key", "detail"]
    assert first["at"].endswith("+00:00") and first["actor"] == "alta score"
    text = log.read_text()
    assert not any(mark in text for mark in (*MARKED.values(), "DOE", "MRN", "1.2.999", "20240501", str(tmp_path)))
    if os.name != "nt":
        assert log.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.glob(".audit*")] == [], "no lock is left"


def test_the_variable_holds_for_commands_and_matcher_and_false_is_none(bundle, folder, tmp_path, monkeypatch):
    log, study = tmp_path / "audit.jsonl", str(folder / "0")
    monkeypatch.setenv("ALTA_AUDIT", str(log))
    with Matcher(bundle) as matcher:
        matcher.zero_shot([study, study], ["edema"])
        matcher.embed(study)
        matcher.rank(study, ["edema", "clear lungs"])
        matcher.locate(study, "opacity")
        matcher.score(study, ["edema"])
        matcher.compare(matcher._read(study), matcher._read(study), ["edema"])
    Matcher(bundle, audit=False).zero_shot(study, ["edema"])
    assert alta("locate", study, "--engine", bundle, "--phrase", "opacity").exit_code == 0
    assert alta("progress", study, "--engine", bundle).exit_code == 1, "an engine that reads none"
    actions = [line["action"] for line in read(log)]
    assert actions == ["scored"] * 2 + ["embedded", "ranked", "located", "embedded"] + ["scored"] * 2 + ["located"]
    assert {line["actor"] for line in read(log)[:8]} == {"alta_sdk"} and read(log)[-1]["actor"] == "alta locate"
    assert all("opacity" not in json.dumps(line) for line in read(log)), "no phrase"


def test_every_other_command_that_scores_writes_it(bundle, make_dicom, tmp_path):
    now, before = make_dicom("b.dcm", StudyInstanceUID="1.2.3.5", StudyDate="20240601"), make_dicom("a.dcm")
    reports = tmp_path / "reports.txt"
    reports.write_text("clear lungs\nedema\n")
    log, given = tmp_path / "audit.jsonl", ("--engine", bundle, "--audit", tmp_path / "audit.jsonl")
    assert alta("compare", now, before, *given, *LABELS).exit_code == 0
    assert [line["action"] for line in read(log)] == ["scored", "scored"]
    assert alta("rank", now, *given, "--reports", reports).exit_code == 0
    assert read(log)[-1]["action"] == "ranked"


@pytest.mark.parametrize("kind", ["another file", "folder", "no folder", "in an engine", "a study"])
def test_what_no_line_can_go_into_is_refused_before_any_work(kind, bundle, folder, tmp_path):
    study = folder / "0" / "MRN4711.dcm"
    other = tmp_path / "thesis.txt"
    other.write_text("kept")
    places = {"another file": other, "folder": tmp_path, "no folder": tmp_path / "x" / "y", "a study": study}
    before = study.read_bytes()
    log = places.get(kind, bundle / "audit.jsonl")
    done = alta("score", study, "--engine", bundle, *LABELS, "--audit", log)
    assert done.exit_code == 1 and done.stdout == "" and len(done.stderr.splitlines()) == 1
    assert "audit log" in done.stderr and str(tmp_path) not in done.stderr
    assert other.read_text() == "kept" and study.read_bytes() == before and not (bundle / "audit.jsonl").exists()
    with pytest.raises(AltaError, match="audit log"):
        Matcher(bundle, audit=log)


def test_a_line_that_cannot_be_written_costs_no_result_of_a_command_and_gives_none_by_itself(
    bundle, folder, tmp_path, monkeypatch
):
    log, table = tmp_path / "audit.jsonl", tmp_path / "run.csv"

    def fail(path, line):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("alta_sdk.matching.audit_log.append_line", fail)
    done = alta("score", folder / "0", folder / "1", "--engine", bundle, *LABELS, "--audit", log, "--csv", table)
    assert done.exit_code == 1 and "edema" in done.stdout and table.read_text().count("\n") == 3
    last = done.stderr.splitlines()[-1]
    assert last == "AltaError: audit log lacks 2 lines: No space left on device; see to the disk"
    with Matcher(bundle, audit=log) as matcher, pytest.raises(AltaError, match="no result: No space left"):
        matcher.zero_shot(str(folder / "0"), ["edema"])


@posix_only
def test_a_full_disk_leaves_no_half_line(tmp_path):
    log = tmp_path / "audit.jsonl"
    code = (
        "import resource, signal, sys; from pathlib import Path; from alta_sdk.files.appending import append_line;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (250, 250));"
        "[append_line(Path(sys.argv[1]), b'x' * 99 + b'\\n') for _ in range(3)]"
    )
    done = subprocess.run([sys.executable, "-c", code, str(log)], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "File too large" in done.stderr
    assert log.read_bytes() == (b"x" * 99 + b"\n") * 2


def test_what_a_killed_writer_left_is_ended_and_a_renamed_file_is_made_anew(tmp_path):
    log = tmp_path / "audit.jsonl"
    log.write_bytes(b'{"half')
    append_line(log, b"{}\n")
    assert log.read_bytes() == b'{"half\n{}\n'
    log.rename(tmp_path / "audit.jsonl.1")
    append_line(log, b"{}\n")
    assert log.read_bytes() == b"{}\n"


def test_several_processes_add_whole_lines(tmp_path):
    log = tmp_path / "audit.jsonl"
    code = (
        "import sys; from pathlib import Path; from alta_sdk.files.appending import append_line;"
        "[append_line(Path(sys.argv[1]), (sys.argv[2] * 20000 + '\\n').encode()) for _ in range(40)]"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(log), name]) for name in "abc"]
    assert [one.wait(600) for one in running] == [0, 0, 0]
    lines = log.read_text().splitlines()
    assert sorted(lines) == sorted(name * 20000 for name in "abc" * 40)


@posix_only
def test_a_pipe_is_not_waited_for_and_a_held_lock_is_told(tmp_path, make_special, run_in_time, monkeypatch):
    make_special("pipe", tmp_path / "pipe")
    with pytest.raises(AltaError, match="no file"):
        run_in_time(lambda: AuditLog(tmp_path / "pipe"))
    log = AuditLog(tmp_path / "audit.jsonl")
    monkeypatch.setattr(appending, "LOCK_TIMEOUT_S", 0.2)
    with appending.hold_lock(tmp_path / ".audit.jsonl.lock", 1), pytest.raises(AltaError, match="holds the lock"):
        log.note_refused("StudyError")
