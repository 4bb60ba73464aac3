"""Failing inputs that were reported: what took a minute, gigabytes, or waited for ever, and what vanished untold."""

import os
import re
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import DATA_DIR
from fuzz.seeds import chest_header, save

from alta_sdk import Slot, Study, StudyError
from alta_sdk.cli import main
from alta_sdk.study.lists import list_studies

CASES = DATA_DIR.parent / "cases"
SECONDS = 15  # of processor time: the promise is 5, on a machine that does nothing else
READ_ONE = """
import resource, sys
from alta_sdk import AltaError, Study
import pydicom, PIL.Image, numpy
try:
    source = open(sys.argv[1], "rb").read() if sys.argv[2:] else sys.argv[1]
    outcome = ", ".join(slot.name for slot in Study.from_dicom(source).slots)
except AltaError as error:
    outcome = f"{type(error).__name__}: {error}"
used = resource.getrusage(resource.RUSAGE_SELF)
# Its own peak: the one that getrusage tells is handed down from the process that has started it.
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]
print(used.ru_utime + used.ru_stime, int(peak) // 1024, outcome, sep="\\n")
"""


def read_alone(path, *as_bytes):
    """Read a study in a process of its own; return seconds of processor time, MiB at most, and what came of it."""
    command = [sys.executable, "-c", READ_ONE, str(path), *as_bytes]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, mib, outcome = done.stdout.splitlines()
    return float(seconds), int(mib), outcome


def run_limited(*arguments):
    """Run `alta`; what waits for ever ends by a limit of the system, in processor time or by the alarm clock."""
    done = subprocess.run(
        [sys.executable, "-c", "from alta_sdk.cli import main; main()", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    return done.returncode, done.stderr.strip().splitlines()


def test_a_private_element_that_is_split_costs_neither_time_nor_memory():
    if not CASES.is_dir():
        pytest.skip("shared data absent: cases")
    seconds, mib, outcome = read_alone(CASES / "long-text-element" / "uc.zip")
    assert outcome == "FRONTAL" and seconds < SECONDS and mib < 1024


@pytest.mark.parametrize(("uids", "as_bytes"), [(1, []), (16, ["as bytes"])])
def test_a_gigabyte_of_one_grey_in_a_small_archive_is_refused_within_bounds(uids, as_bytes, tmp_path):
    path = tmp_path / "study.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number in range(16):
            header = chest_header(np.zeros((5700, 5700), np.uint16), SOPInstanceUID=f"1.2.{number % uids}")
            archive.writestr(f"{number:02}.dcm", save(header))
    seconds, mib, outcome = read_alone(path, *as_bytes)
    assert outcome.endswith("far larger than radiographs do when inflated: refused")
    assert seconds < SECONDS and mib < 1024


def test_a_study_in_1500_folders_is_read(make_dicom, tmp_path):
    source = make_dicom()
    folders = [f"{tmp_path}/deep" + "/d" * depth for depth in range(1500)]
    for folder in folders:
        os.mkdir(folder)
    shutil.copy(source, f"{folders[-1]}/a.dcm")
    assert Study.from_dicom(folders[0]).slots == (Slot.FRONTAL,)
    assert [len(entry.read().files) for entry in list_studies(tmp_path)] == [2]
    os.unlink(f"{folders[-1]}/a.dcm")
    for folder in reversed(folders):  # pytest's own way of removing them is recursive
        os.rmdir(folder)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names on this system")
def test_a_pipe_is_not_waited_for(bundle, radiograph_path, tmp_path):
    options = ["--engine", bundle, "--labels", "edema,pneumonia"]
    os.mkfifo(tmp_path / "f.dcm")
    code, lines = run_limited("score", tmp_path / "f.dcm", *options)
    assert code == 1 and re.fullmatch(r"StudyError: .*pipe.*", lines[-1]) and str(tmp_path) not in lines[-1]
    folder = tmp_path / "d"
    folder.mkdir()
    shutil.copy(radiograph_path, folder / "a.jpg")
    os.mkfifo(folder / "b.dcm")
    result = CliRunner().invoke(main, ["score", str(folder), *map(str, options), "--json"])
    assert result.exit_code == 1 and '"scores"' in result.stdout and "pipe" in result.output
    result = CliRunner().invoke(
        main, ["embed", str(folder), "--out", str(tmp_path / "i.alta-index"), *map(str, options[:2])]
    )
    assert result.exit_code == 1 and "unreadable" in result.stdout and (tmp_path / "i.alta-index").exists()


def test_a_lateral_in_a_locked_folder_does_not_vanish(bundle, make_dicom, tmp_path, monkeypatch):
    make_dicom("study/frontal.dcm")
    make_dicom("study/MUELLER_HANS/lateral.dcm", ViewPosition="LL")
    assert Study.from_dicom(tmp_path / "study").slots == (Slot.FRONTAL, Slot.LATERAL)
    look = os.scandir

    def locked(path):
        if "MUELLER" in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return look(path)

    monkeypatch.setattr(os, "scandir", locked)
    with pytest.raises(
        StudyError, match="part of the study cannot be read.*Permission denied.*--allow-incomplete"
    ) as caught:
        Study.from_dicom(tmp_path / "study")
    assert "MUELLER" not in str(caught.value)
    study = Study.from_dicom(tmp_path / "study", allow_incomplete=True)
    assert study.slots == (Slot.FRONTAL,)
    assert study.explain()["set_aside"][0]["why"] == "cannot be read: Permission denied"
    options = ["--engine", str(bundle), "--labels", "edema,pneumonia"]
    result = CliRunner().invoke(main, ["score", str(tmp_path / "study"), *options])
    assert result.exit_code == 1 and "--allow-incomplete" in result.stderr and "MUELLER" not in result.output
    result = CliRunner().invoke(main, ["score", str(tmp_path / "study"), *options, "--allow-incomplete"])
    assert result.exit_code == 0 and "could not be read and are missing" in result.stderr


def test_a_radiograph_in_a_folder_that_may_not_be_entered_is_one_line(bundle, tmp_path, monkeypatch):
    stat = os.stat

    def locked(path, *arguments, **options):
        if "MUELLER" in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, *arguments, **options)

    monkeypatch.setattr(os, "stat", locked)
    options = ["--engine", str(bundle), "--labels", "edema,pneumonia"]
    result = CliRunner().invoke(main, ["score", str(tmp_path / "MUELLER_HANS" / "a.jpg"), *options])
    assert result.exit_code == 1
    assert result.stderr.strip() == "StudyError: study cannot be read: Permission denied; check the path"
