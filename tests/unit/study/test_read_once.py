"""A file of a study is opened once and its header parsed once, whoever looks at it: counted, not timed."""

import shutil
import sys
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pydicom
import pytest
from click.testing import CliRunner
from fuzz.seeds import chest_header, deflate
from PIL import Image

from alta_sdk.cli import main
from alta_sdk.dicom.files import read_files
from alta_sdk.dicom.study_file import FileReader
from alta_sdk.study import lists
from alta_sdk.study.lists import list_studies

_watched: list[tuple[Path, Counter]] = []  # an audit hook cannot be taken away: it looks here


def _count_opened(event, arguments):
    if event == "open" and _watched and isinstance(arguments[0], str | bytes | Path):
        folder, counts = _watched[-1]
        path = Path(arguments[0] if not isinstance(arguments[0], bytes) else arguments[0].decode())
        if path.is_relative_to(folder):
            counts[path.relative_to(folder).as_posix()] += 1


@pytest.fixture(scope="module", autouse=True)
def hook():
    sys.addaudithook(_count_opened)


@pytest.fixture
def reads(monkeypatch):
    """Count opened files below a folder and parsed headers: `watch(folder)` gives both counts."""
    parsed = []
    read = pydicom.filereader.read_partial  # dcmread goes through it, too

    def count(*given, **options):
        parsed.append(1)
        return read(*given, **options)

    monkeypatch.setattr(pydicom.filereader, "read_partial", count)

    def watch(folder):
        counts = Counter()
        _watched.append((folder, counts))
        parsed.clear()
        return counts, parsed

    yield watch
    _watched.clear()


@pytest.fixture
def folder(make_dicom, tmp_path):
    """Nine files of seven studies: loose files of two studies, a folder, a folder in a folder, a zip, a PNG; a note."""
    root = tmp_path / "studies"
    make_dicom("studies/1.dcm", StudyInstanceUID="1.2.1")
    make_dicom("studies/1-lateral.dcm", StudyInstanceUID="1.2.1", ViewPosition="LL")
    make_dicom("studies/2.dcm", StudyInstanceUID="1.2.2")
    make_dicom("studies/3/frontal.dcm", StudyInstanceUID="1.2.3")
    make_dicom("studies/3/lateral.dcm", StudyInstanceUID="1.2.3", ViewPosition="LL")
    make_dicom("studies/4/series/frontal.dcm", StudyInstanceUID="1.2.4")
    member = make_dicom("elsewhere.dcm", StudyInstanceUID="1.2.5")
    with zipfile.ZipFile(root / "5.zip", "w") as archive:
        archive.write(member, "frontal.dcm")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (250, 250), dtype=np.uint8)).save(root / "6.png")
    (root / "notes.txt").write_text("not a study", encoding="utf-8")
    return root


FILES = ["1-lateral.dcm", "1.dcm", "2.dcm", "3/frontal.dcm", "3/lateral.dcm", "4/series/frontal.dcm", "5.zip", "6.png"]


@pytest.mark.parametrize("command", ["score", "embed"])
def test_a_command_over_a_folder_opens_each_file_once_and_parses_each_header_once(
    command, folder, reads, bundle, tmp_path
):
    more = ["--labels", "rsna"] if command == "score" else ["--out", str(tmp_path / "out.index")]
    counts, parsed = reads(folder)
    result = CliRunner().invoke(main, [command, str(folder), "--engine", str(bundle), *more])
    assert result.exit_code == 0, result.output
    assert counts == Counter([*FILES, "notes.txt"])
    assert len(parsed) == 7  # the member of the archive is one


def test_a_folder_that_is_one_study_is_read_once(folder, reads, bundle):
    counts, parsed = reads(folder / "3")
    result = CliRunner().invoke(main, ["score", str(folder / "3"), "--engine", str(bundle), "--labels", "rsna"])
    assert result.exit_code == 0, result.output
    assert (counts, len(parsed)) == (Counter(["frontal.dcm", "lateral.dcm"]), 2)


def test_several_folders_on_one_command_line_share_one_bound(folder, reads, bundle, make_dicom, tmp_path, monkeypatch):
    for number in range(4):
        make_dicom(f"days/{number}/1.dcm", StudyInstanceUID=f"1.3.{number}")
    days = sorted((tmp_path / "days").iterdir())
    held = read_files(days[0]).files[0].slim().count_held_bytes()
    monkeypatch.setattr(lists, "KEPT_BYTES", 2 * held + (days[0] / "1.dcm").stat().st_size // 2)
    entries = list_studies(*days)
    counts, parsed = reads(tmp_path / "days")
    assert [len(entry.read().files) for entry in entries] == [1, 1, 1, 1]
    assert counts == Counter(["2/1.dcm", "3/1.dcm"])  # the first two were kept
    counts, parsed = reads(tmp_path / "days")
    result = CliRunner().invoke(main, ["score", *map(str, days), "--engine", str(bundle), "--labels", "rsna"])
    assert result.exit_code == 0, result.output
    assert counts == Counter(["0/1.dcm", "1/1.dcm", *["2/1.dcm", "3/1.dcm"] * 2]) and len(parsed) == 6


def test_what_a_header_inflates_to_counts_for_the_bound(tmp_path):
    path = tmp_path / "deflated.dcm"
    pixels = np.zeros((2000, 2000), np.uint16)
    path.write_bytes(deflate(chest_header(pixels)))
    room = pixels.nbytes
    assert path.stat().st_size < room // 100
    for small in (False, True):
        reader = FileReader(room - small)
        reader.look(path)
        assert (reader.take_kept(path) is None) == small


def test_room_is_given_back_when_a_file_is_taken(make_dicom):
    path, other = make_dicom("a.dcm"), make_dicom("b.dcm")
    reader = FileReader(read_files(path).files[0].slim().count_held_bytes())
    for one in (path, other):
        assert reader.look(one).study_uid == "1.2.3.4"
    assert reader.take_kept(other) is None  # no room for a second one
    assert reader.take_kept(path).path == path
    third = shutil.copy(path, path.with_name("c.dcm"))
    reader.look(third)
    assert reader.take_kept(third).path == third


def test_beyond_the_bound_a_file_is_read_once_more_and_never_a_third_time(folder, reads, bundle, monkeypatch):
    monkeypatch.setattr(lists, "KEPT_BYTES", 0)
    counts, parsed = reads(folder)
    result = CliRunner().invoke(main, ["score", str(folder), "--engine", str(bundle), "--labels", "rsna"])
    assert result.exit_code == 0, result.output
    assert max(counts.values()) == 2 and len(parsed) <= 2 * 7


def test_what_cannot_be_read_is_tried_once(folder, reads, bundle):
    (folder / "gone.dcm").symlink_to(folder / "nowhere")
    counts, _ = reads(folder)
    result = CliRunner().invoke(main, ["score", str(folder), "--engine", str(bundle), "--labels", "rsna"])
    assert result.exit_code == 1 and "study cannot be read" in result.stderr
    assert counts == Counter([*FILES, "notes.txt"])  # what is not there is not opened


def test_without_room_to_keep_what_was_looked_at_files_are_read_again_and_the_studies_are_the_same(folder, monkeypatch):
    kept = [entry.paths for entry in list_studies(folder)]
    pixels = [file.read_image().stored.data for file in list_studies(folder)[0].read().files]
    monkeypatch.setattr(lists, "KEPT_BYTES", 0)
    entries = list_studies(folder)
    assert [entry.paths for entry in entries] == kept
    assert [file.read_image().stored.data for file in entries[0].read().files] == pixels
