"""Every `alta` command and its errors, on studies full of marks: none comes out, and no socket is opened."""

import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from pydicom.uid import UID

from alta_export.cli import main as alta_export
from alta_sdk.cli import main as alta

MARK = "QZXV"  # stands in every value that names a person, a study or a text, and in every path
MARKED_DATE, EARLIER_DATE, LATER_DATE = "19870613", "19870612", "19870614"
MARKED_ROOT = "1.2.826.0.1.3680043.9.6174"
SECRETS = (MARK, MARKED_DATE, EARLIER_DATE, LATER_DATE, MARKED_ROOT, MARK.lower())
SOCKETS = ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto")
PHRASE = f"{MARK} opacity"

opened_sockets: list[str] = []


def note_socket(event, _, sockets=SOCKETS, opened=opened_sockets):  # bound here: at exit the module's names are gone
    if event in sockets:
        opened.append(event)


sys.addaudithook(note_socket)


@pytest.fixture
def write(make_dicom):
    """Write a DICOM image whose every free value is marked; its study is numbered."""

    def make(name, study=1, seed=0, **elements):
        marked = {
            "PatientName": f"{MARK}^Jane",
            "PatientID": f"{MARK}-1",
            "PatientBirthDate": MARKED_DATE,
            "AccessionNumber": f"{MARK}9",
            "StudyDate": MARKED_DATE,
            "AcquisitionDate": MARKED_DATE,
            "InstitutionName": f"{MARK} Hospital",
            "ReferringPhysicianName": f"{MARK}^Doctor",
            "StudyDescription": f"CHEST {MARK}",
            "SeriesDescription": f"PA {MARK}",
            "ImageComments": f"{MARK} seen",
            "PatientAge": f"{MARK}",  # not an age: pydicom warns and quotes it
            "StudyInstanceUID": UID(f"{MARKED_ROOT}.{study}"),
            "SOPInstanceUID": UID(f"{MARKED_ROOT}.{study}.{seed}.{len(name)}"),
        }
        pixels = np.random.default_rng(seed).integers(0, 4096, (300, 280), dtype=np.uint16)
        return make_dicom(f"{MARK}/{name}", pixels, **(marked | elements))

    return make


def run(*arguments, command=alta):
    result = CliRunner().invoke(command, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result


def assert_clean(*texts):
    for text in texts:
        found = [secret for secret in SECRETS if secret in text]
        assert not found, text


def assert_clean_files(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    for path in files:
        data = path.read_bytes()
        assert not [secret for secret in SECRETS if secret.encode() in data], path.name
        assert MARK not in path.name


@pytest.fixture
def output(tmp_path):
    folder = tmp_path / "output"
    folder.mkdir()
    return folder


@pytest.fixture(autouse=True)
def no_socket(caplog):
    opened_sockets.clear()
    yield
    assert opened_sockets == []
    assert_clean(caplog.text)


def test_scores_and_their_files(bundle, write, output):
    first, second = write("a/1.dcm"), write("b/2.dcm", study=2, seed=1)
    write("b/3.dcm", study=2, seed=2, ViewPosition="LL")
    files = ["--csv", output / "scores.csv", "--html", output / "scores.html", "--locate", "opacity"]
    files += ["--with-pictures", "--audit", output / "audit.jsonl"]
    table = run("score", first.parent, second.parent, "--engine", bundle, "--labels", "edema,", "--explain", *files)
    as_json = run("score", first, "--engine", bundle, "--labels", "edema,", "--explain", "--json")
    whole = run("score", first.parent.parent, "--engine", bundle, "--labels", "edema,")
    for result in (table, as_json, whole):
        assert result.exit_code == 0, result.output
        assert_clean(result.output)
    assert_clean_files(output)


def test_comparison_of_two_studies(bundle, write):
    now, before = write("now.dcm"), write("before.dcm", study=2, seed=1, StudyDate=EARLIER_DATE)
    for more in ([], ["--json"]):
        result = run("compare", now, before, "--engine", bundle, "--labels", "edema,", *more)
        assert result.exit_code == 0, result.output
        assert_clean(result.output)


def test_progression_since_a_prior(follow_up_bundle, write):
    now, before = write("now.dcm"), write("before.dcm", study=2, seed=1, StudyDate=EARLIER_DATE)
    for more in ([], ["--json"]):
        result = run("progress", now, before, "--engine", follow_up_bundle, "--any-picture", *more)
        assert result.exit_code == 0, result.output
        assert_clean(result.output)


def test_heat_maps(bundle, write, output):
    files = ["--output", output / "map.png", "--dicom", output / "map.dcm", "--audit", output / "audit.jsonl"]
    for more in ([], ["--json", "--overwrite"]):
        result = run("locate", write("a.dcm"), "--engine", bundle, "--phrase", PHRASE, *files, *more)
        assert result.exit_code == 0, result.output
        assert_clean(result.output)
    assert_clean_files(output)


def test_keys_and_a_key_that_is_there(tmp_path):
    folder = tmp_path / MARK
    folder.mkdir()
    made, again = run("keygen", folder / "site.key"), run("keygen", folder / "site.key")
    assert (made.exit_code, again.exit_code) == (0, 1), made.output + again.output
    assert_clean(made.output, again.output)
    assert_clean_files(folder)


def test_a_compiled_form(bundle, tmp_path):
    folder = tmp_path / MARK
    shutil.copytree(bundle, folder / "chest.alta")
    for more in ([], ["--json", "--overwrite"]):
        result = run("engine", "compile", folder / "chest.alta", *more)
        assert result.exit_code == 0, result.output
        assert_clean(result.output)
    assert_clean_files(folder / "chest.alta.compiled")


def test_indexes_and_ranks(bundle, write, output, tmp_path):
    first = write("1.dcm")
    write("2.dcm", study=2, seed=1)
    reports = tmp_path / f"{MARK}.txt"
    reports.write_text(f"{PHRASE} on the left\nno {PHRASE}\n", encoding="utf-8")
    index = output / "studies.index"
    runs = [
        run("embed", first.parent, "--engine", bundle, "--out", index),
        run("embed", first.parent, "--engine", bundle, "--out", index, "--json", "--csv", output / "studies.csv"),
        run("rank", first, "--engine", bundle, "--index", index),
        run("rank", first, "--engine", bundle, "--reports", reports, "--write-index", output / "reports.index"),
        run("rank", first, "--engine", bundle, "--reports", reports, "--json"),
    ]
    for result in runs:
        assert result.exit_code == 0, result.output
        assert_clean(result.output)
    assert_clean_files(output)


def test_archives(bundle, write, output, tmp_path):
    pytest.importorskip("lance", reason="packages of an archive absent")
    first = write("1.dcm", PatientSex="F", StudyDate=MARKED_DATE)
    write("2.dcm", study=2, seed=1)
    (first.parent / f"{MARK}.dcm").write_bytes(b"no study")
    out = output / "a.lance"
    start = ["embed", first.parent, "--engine", bundle, "--out", out, "--workers", 1, "--labels", "edema,"]
    for more in ([], ["--json"]):
        result = run(*start, *more)
        assert result.exit_code == 1 and "StudyError" in result.output, result.output
        assert_clean(result.output)
    rank = ["rank", first, "--engine", bundle, "--index", out]
    search = ["--engine", bundle, "--text", PHRASE, "--html", output / "page.html", "--with-pictures", first.parent]
    runs = [
        run(*rank, "--where", "sex = 'F'"),
        run(*rank, "--json"),
        run("archive", "search", out, *search),
        run("archive", "status", out, "--json"),
        run("archive", "duplicates", out),
        run("archive", "outliers", out),
        run("archive", "export", out, "--out", output / "a.parquet"),
        run("archive", "optimize", out),
    ]
    for result in runs:
        assert result.exit_code == 0, result.output
        assert_clean(result.output)
    refused = [
        run(*rank, "--where", f"{MARK} = 1"),
        run("archive", "status", tmp_path / MARK / "a.lance"),
        run("archive", "erase", out, "--key", MARK),
        run("embed", tmp_path / MARK / "nowhere", "--engine", bundle, "--out", output / "b.lance"),
    ]
    for result in refused:
        assert result.exit_code == 1 and "Traceback" not in result.output, result.output
        assert_clean(result.output)
    assert_clean_files(output)


def test_thresholds(bundle, write, tmp_path, output):
    import shutil

    engine = output / "engine.alta"
    shutil.copytree(bundle, engine)
    rows = [f"{write(f'{n}.dcm', study=n, seed=n)},{n % 2}" for n in range(40)]
    table = tmp_path / f"{MARK}.csv"
    table.write_text("\n".join(["study,edema", *rows]) + "\n", encoding="utf-8")
    for more in ([], ["--json"]):
        assert_clean(run("calibrate", table, "--engine", engine, "--label", "edema", *more).output)
    assert_clean_files(output)


def test_a_validation_and_a_watch(bundle, write, tmp_path, output):
    rows = [f"{write(f'{n}.dcm', study=n, seed=n)},{MARK}-{n // 2},{n % 2}" for n in range(40)]
    table, reference = tmp_path / f"{MARK}.csv", output / "reference.json"
    table.write_text("\n".join(["study,patient,edema", *rows]) + "\n", encoding="utf-8")
    files = ["--html", output / "page.html", "--csv", output / "figures.csv", "--reference", reference]
    runs = [
        run("validate", table, "--engine", bundle, *files, "--locate-worst", "--worst", 1),
        run("validate", table, "--engine", bundle, "--json"),
        run("watch", tmp_path / MARK, "--engine", bundle, "--reference", reference),
        run("watch", tmp_path / MARK, "--engine", bundle, "--reference", reference, "--json"),
    ]
    for result in runs:
        assert result.exit_code == 0, result.output
        assert_clean(result.output)
    assert_clean_files(output)


def test_machine_and_engine(bundle):
    for arguments in (["doctor"], ["doctor", bundle], ["inspect", bundle]):
        result = run(*arguments)
        assert result.exit_code == 0 and MARK not in result.output


def test_the_demo(demo_package):
    for more in ("--json", "--path"):
        result = run("demo", more)
        assert result.exit_code == 0 and MARK not in result.output


def test_the_figures_of_a_benchmark(bundle, write):
    arguments = ["bench", bundle, "--study", write("image.dcm"), "--rounds", 3, "--max-batch", 1, "--threads", 1]
    result = run(*arguments, "--json")
    assert result.exit_code == 0
    assert_clean(result.output)


CHANGES = {
    "of another body part": {"BodyPartExamined": MARK},
    "of another modality": {"Modality": MARK},
    "without a frontal view": {"ViewPosition": "LL"},
    "of an unknown view": {"ViewPosition": MARK, "SeriesDescription": ""},
    "of another photometric interpretation": {"PhotometricInterpretation": MARK},
    "with too little pixel data": {"PixelData": b"\0\0"},
    "without rows": {"Rows": None},
    "of raw detector data": {"PresentationIntentType": "FOR PROCESSING"},
    "of many bits": {"BitsAllocated": 24},
}


@pytest.mark.parametrize("change", CHANGES)
def test_errors_of_one_study(bundle, write, change):
    result = run("score", write("image.dcm", **CHANGES[change]), "--engine", bundle, "--labels", "edema,")
    assert result.exit_code == 1 and "Traceback" not in result.output
    assert_clean(result.output)


def test_errors_of_the_other_commands(bundle, write, output, tmp_path):
    path = write("image.dcm", **CHANGES["of an unknown view"])
    write("other/fine.dcm", study=2, StudyDate=EARLIER_DATE)
    reports = tmp_path / f"{MARK}.txt"
    reports.write_text(f"{PHRASE}\n", encoding="utf-8")
    for arguments in (
        ["locate", path, "--phrase", PHRASE, "--output", output / "map.png"],
        ["embed", path.parent, "--out", output / "studies.index"],
        ["rank", path, "--reports", reports],
        ["compare", path, path.parent / "other", "--labels", "edema,"],
    ):
        result = run(*arguments, "--engine", bundle)
        assert result.exit_code == 1 and "Traceback" not in result.output
        assert_clean(result.output)


def test_errors_of_folders_priors_and_paths(bundle, write, tmp_path):
    now, later = write("now.dcm"), write("later.dcm", study=2, StudyDate=LATER_DATE)
    stranger = write("stranger.dcm", study=3, StudyDate=EARLIER_DATE, PatientID=f"{MARK}-2")
    cut = tmp_path / f"{MARK}.dcm"
    cut.write_bytes(now.read_bytes()[:700])
    text = tmp_path / f"{MARK}.txt"
    text.write_text(MARK, encoding="utf-8")
    score = ["--engine", bundle, "--labels", "edema,"]
    runs = [
        run("score", now, "--prior", later, *score),
        run("score", now, "--prior", stranger, *score),
        run("score", now.parent, "--find-prior", *score),
        run("score", cut, *score),
        run("score", text, *score),
        run("score", now, cut, *score),
        run("score", tmp_path / MARK / "nowhere", *score),
        run("score", now, "--engine", tmp_path / MARK, "--labels", "edema,"),
        run("score", now, "--engine", bundle, "--labels", MARK),
        run("rank", now, "--engine", bundle, "--reports", text.with_suffix(".csv")),
        run("rank", now, "--engine", bundle, "--index", cut),
        run("calibrate", text.with_suffix(".csv"), "--engine", bundle, "--label", "edema"),
        run("--calibration", now.parent, "--precision", "int8", "--output", tmp_path / "e.alta", command=alta_export),
        run("serve", "--config", tmp_path / MARK / "service.toml"),
        run("serve", "--config", text, "--check"),
        run("service", "status", "--config", text),
        run("service", "erase", "--config", text, "--study", MARK),
    ]
    for result in runs:
        assert result.exit_code == 1 and "Traceback" not in result.output, result.output
        assert_clean(result.output)


def test_every_command_of_alta_is_run_here():
    run_here = set(re.findall(r'(?:run\(|\[)"([a-z]+)", ', Path(__file__).read_text(encoding="utf-8")))
    assert run_here >= set(alta.commands)
