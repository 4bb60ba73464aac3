"""What counts as one study, and what as a folder of studies."""

import zipfile

import pytest

from alta_sdk import StudyError
from alta_sdk.study import lists
from alta_sdk.study.lists import list_studies


def paths(folder):
    return [entry.paths for entry in list_studies(folder)]


def test_loose_files_of_one_study_are_grouped(make_dicom, tmp_path):
    for name, uid in (("1.dcm", "1.2.3"), ("2.dcm", "1.2.4"), ("3.dcm", "1.2.3"), ("4.dcm", "1.2.5")):
        make_dicom(f"flat/{name}", StudyInstanceUID=uid)
    grouped = [[path.name for path in entry] for entry in paths(tmp_path / "flat")]
    assert grouped == [["1.dcm", "3.dcm"], ["2.dcm"], ["4.dcm"]]


def test_files_of_one_study_stay_together(make_dicom, tmp_path):
    make_dicom("one/series1/a.dcm"), make_dicom("one/series2/b.dcm")
    (tmp_path / "one" / "notes.txt").write_text("beside the images")
    assert paths(tmp_path / "one") == [(tmp_path / "one",)]
    assert paths(tmp_path / "one" / "series1" / "a.dcm") == [(tmp_path / "one" / "series1" / "a.dcm",)]


def test_each_entry_of_a_folder_of_several_studies_is_one(make_dicom, radiograph_path, tmp_path):
    many = tmp_path / "many"
    make_dicom("many/b/frontal.dcm", StudyInstanceUID="1.2.3")
    make_dicom("many/a/frontal.dcm", StudyInstanceUID="1.2.4")
    make_dicom("many/c.dcm", StudyInstanceUID="1.2.5")
    (many / "d.jpg").write_bytes(radiograph_path.read_bytes())
    with zipfile.ZipFile(many / "e.zip", "w") as archive:
        archive.write(many / "c.dcm", "c.dcm")
    for name in ("notes.txt", ".hidden"):
        (many / name).write_text("not a study")
    assert [path.name for path in list_studies(many)] == ["a", "b", "c.dcm", "d.jpg", "e.zip"]


def test_files_without_preamble_are_grouped_too(make_dicom, tmp_path):
    for name, uid in (("1", "1.2.3"), ("2", "1.2.3"), ("3", "1.2.4")):
        path = make_dicom(f"bare/{name}.dcm", StudyInstanceUID=uid)
        path.write_bytes(path.read_bytes()[132:])
        assert path.read_bytes()[128:132] != b"DICM"
    assert [len(entry) for entry in paths(tmp_path / "bare")] == [2, 1]


def test_a_zip_beside_a_dicom_file_is_a_study_of_its_own(make_dicom, tmp_path):
    first = make_dicom("mixed/1.dcm")
    with zipfile.ZipFile(tmp_path / "mixed" / "2.zip", "w") as archive:
        archive.write(first, "a.dcm")
    assert [entry[0].name for entry in paths(tmp_path / "mixed")] == ["1.dcm", "2.zip"]


def test_a_table_of_contents_is_no_study_and_a_dangling_link_is_one_that_cannot_be_read(make_dicom, tmp_path):
    make_dicom("disc/ST0/a.dcm", StudyInstanceUID="1.2.3"), make_dicom("disc/ST1/b.dcm", StudyInstanceUID="1.2.4")
    (tmp_path / "disc" / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    (tmp_path / "disc" / "gone").symlink_to(tmp_path / "nowhere")
    assert [entry[0].name for entry in paths(tmp_path / "disc")] == ["ST0", "ST1", "gone"]


@pytest.mark.parametrize("name", ["absent", "empty", "notes"])
def test_what_holds_no_study_is_left_to_the_reader(tmp_path, name):
    (tmp_path / "empty").mkdir(), (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("x")
    assert paths(tmp_path / name) == [(tmp_path / name,)]


def test_a_damaged_dicom_file_is_a_study_that_will_say_so(make_dicom, tmp_path):
    make_dicom("many/a.dcm", StudyInstanceUID="1.2.3"), make_dicom("many/b.dcm", StudyInstanceUID="1.2.4")
    (tmp_path / "many" / "c.dcm").write_bytes((tmp_path / "many" / "a.dcm").read_bytes()[:140])
    assert [path.name for path in list_studies(tmp_path / "many")] == ["a.dcm", "b.dcm", "c.dcm"]


def test_a_folder_of_more_entries_than_a_study_has_is_told(make_dicom, tmp_path, monkeypatch):
    monkeypatch.setattr(lists, "MAX_ENTRIES", 20)
    (tmp_path / "empty").mkdir()
    for number in range(21):
        (tmp_path / "empty" / f"{number}").touch()
    with pytest.raises(StudyError, match="more than 20 files and folders: give the folder of one study"):
        list_studies(tmp_path / "empty")
    for number in range(15):  # two studies tell that they are many
        for name in ("a", "b", "c"):
            make_dicom(f"many/{number}/{name}.dcm", StudyInstanceUID=f"1.2.{number}")
    assert len(list_studies(tmp_path / "many")) == 15


def test_a_folder_of_links_to_studies_is_a_list_of_them(make_dicom, tmp_path):
    (tmp_path / "cohort").mkdir()
    for number in range(3):
        make_dicom(f"archive/{number}/a.dcm", StudyInstanceUID=f"1.2.{number}")
        (tmp_path / "cohort" / f"{number}").symlink_to(tmp_path / "archive" / f"{number}")
    assert [entry[0].name for entry in paths(tmp_path / "cohort")] == ["0", "1", "2"]
    assert [len(entry.read().files) for entry in list_studies(tmp_path / "cohort")] == [1, 1, 1]
