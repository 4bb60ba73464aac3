"""Calibration data and calibration.json: what is read, what is refused, what is kept."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import write_radiographs
from PIL import Image

from alta_export.calibration import Calibration, calibrate, read_calibration
from alta_export.graph import find_products
from alta_export.radiographs import StudySource, read_radiographs, split_off
from alta_export.verify import make_radiographs
from alta_sdk.errors import CalibrationError
from alta_sdk.study.geometry import ALTA_GEOMETRY

SHA = "a" * 64


@pytest.fixture(scope="module")
def calibration(graphs, folder):
    tokens = {"input_ids": np.full((2, 16), 7, dtype=np.int64), "attention_mask": np.ones((2, 16), dtype=np.int64)}
    return calibrate(graphs, read_radiographs(StudySource(folder), 500, "frontal"), [tokens], "minmax", SHA)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_radiographs(tmp_path_factory.mktemp("radiographs"), make_radiographs(20, 240)[:, 0])


def write_table(folder, rows, header):
    path = folder / "table.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def test_folder_is_read_in_order_through_the_preprocessing_of_the_sdk(folder):
    read = read_radiographs(StudySource(folder), 500, "frontal")
    first = np.asarray(Image.open(folder / "DOE_JANE_00.png"))
    assert len(read) == 20 and read.pixels.shape == (20, 1, 224, 224) and read.truth is None
    np.testing.assert_array_equal(read.pixels[0, 0], ALTA_GEOMETRY.to_pixels(first))
    assert set(read.slots) == {0}


def test_samples_are_spread_over_the_whole_source(folder):
    read = read_radiographs(StudySource(folder), 16, "frontal")
    every = read_radiographs(StudySource(folder), 500, "frontal")
    assert len(read) == 16
    np.testing.assert_array_equal(read.pixels[[0, -1]], every.pixels[[0, -1]])


def test_dicom_and_images_mix(folder, make_dicom, tmp_path):
    for number, image in enumerate(make_radiographs(16, 240)):
        Image.fromarray(image[0]).save(tmp_path / f"{number:02}.png")
    make_dicom()
    assert len(read_radiographs(StudySource(tmp_path), 500, "frontal")) == 17


def test_labelled_table_gives_truth_and_splits(folder, tmp_path):
    (tmp_path / "images").symlink_to(folder)
    names = sorted(path.name for path in folder.iterdir())
    findings = ["Pneumonia|Edema", "No Finding"]
    rows = [f"{name},{findings[i % 2]},{'train' if i < 18 else 'test'}" for i, name in enumerate(names)]
    table = write_table(tmp_path, rows, "image,findings,split")
    read = read_radiographs(StudySource(table, "train"), 500, "frontal")
    np.testing.assert_array_equal(read.truth, [i % 2 == 0 for i in range(18)])
    with pytest.raises(CalibrationError, match='no row of split "nowhere"'):
        read_radiographs(StudySource(table, "nowhere"), 500, "frontal")


@pytest.mark.parametrize(("fusion_mode", "slots"), [("frontal", [0]), ("present", [0, 1, 2]), ("published", [0, 1, 2])])
def test_training_table_fills_the_slots_that_the_fusion_uses(folder, fusion_mode, slots):
    names = sorted(path.name for path in folder.glob("*.png"))
    rows = [f"{name},{names[0]},{names[1]},-1,a report" for name in names[:16]]
    header = "image_path,auxview_image_path,last_image_path,last_auxview_image_path,report"
    table = write_table(folder, rows, header)
    try:
        read = read_radiographs(StudySource(table), 500, fusion_mode)
    finally:
        table.unlink()
    assert read.slots.tolist() == slots * 16


def test_too_few_radiographs_are_refused(tmp_path, folder):
    (tmp_path / "one.png").write_bytes(next(folder.glob("*.png")).read_bytes())
    with pytest.raises(CalibrationError, match="1 usable radiographs: at least 16"):
        read_radiographs(StudySource(tmp_path), 500, "frontal")


def test_unreadable_studies_are_counted_and_not_named(folder, tmp_path):
    for path in folder.glob("*.png"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "DOE_JANE_zz.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    with pytest.raises(CalibrationError, match="1 of 21 studies .* cannot be read, first study 21") as caught:
        read_radiographs(StudySource(tmp_path), 500, "frontal")
    assert "DOE" not in str(caught.value)


@pytest.mark.parametrize(("name", "message"), [("nothing", "not found"), ("DOE_JANE", "empty folder")])
def test_source_that_holds_nothing_is_refused_by_its_option(tmp_path, name, message):
    (tmp_path / "DOE_JANE").mkdir()
    with pytest.raises(CalibrationError, match=message) as caught:
        read_radiographs(StudySource(tmp_path / name, option="--held-out"), 500, "frontal")
    assert str(caught.value).startswith("--held-out") and "DOE" not in str(caught.value)


def test_split_of_a_folder_is_refused(folder):
    with pytest.raises(CalibrationError, match="leave --calibration-split out"):
        read_radiographs(StudySource(folder, "train"), 500, "frontal")


def test_every_fifth_radiograph_is_held_out(folder):
    read = read_radiographs(StudySource(folder), 500, "frontal")
    shown, held = split_off(read)
    assert (len(shown), len(held)) == (16, 4)
    np.testing.assert_array_equal(held.pixels, read.pixels[4::5])
    both = np.concatenate([shown.pixels, held.pixels])
    assert len(np.unique(both.reshape(20, -1), axis=0)) == 20


def test_kept_calibration_is_read_back_the_same(calibration, graphs, tmp_path):
    calibration.keep(tmp_path / "calibration.json")
    assert read_calibration(tmp_path / "calibration.json", SHA, graphs) == calibration
    assert calibration.ranges["image"].keys() == find_products(graphs["image"]).keys()
    assert (calibration.radiographs, calibration.prompts) == (20, 2)


def test_calibration_holds_no_name_of_a_study(calibration, folder):
    text = calibration.render().decode()
    assert "DOE" not in text and str(Path(folder).name) not in text
    assert set(json.loads(text)) == {
        "checkpoint_sha256", "method", "radiographs", "prompts", "ranges", "schema_version", "smoothing",
    }  # fmt: skip


def test_calibration_of_another_checkpoint_is_refused(calibration, graphs, tmp_path):
    calibration.keep(tmp_path / "c.json")
    with pytest.raises(CalibrationError, match="another checkpoint"):
        read_calibration(tmp_path / "c.json", "b" * 64, graphs)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["ranges"]["image"].pop("blocks.0.fc1"), "other layers"),
        (lambda c: c["ranges"]["image"].update({"blocks.0.fc1": [2, 1]}), "no range"),
        (lambda c: c["ranges"].pop("text"), "not a calibration"),
        (lambda c: c["smoothing"]["image"].update({"blocks.0.fc1": [1.0]}), "does not fit"),
        (lambda c: c["smoothing"]["image"].update({"blocks.0.fc1": [0.0] * 32}), "does not fit"),
        (lambda c: c["smoothing"]["text"].update({"layers.0.fc1": [1.0] * 32}), "does not fit"),
        (lambda c: c.update(schema_version=99), "another version"),
        (lambda c: c.update(method="guess"), "another version"),
        (lambda c: c.update(patient="DOE"), "not a calibration"),
    ],
)
def test_damaged_calibration_is_refused(calibration, graphs, tmp_path, change, message):
    content = json.loads(calibration.render())
    change(content)
    path = tmp_path / "c.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(CalibrationError, match=message):
        read_calibration(path, SHA, graphs)


def test_calibration_that_is_not_there_is_refused(graphs, tmp_path):
    with pytest.raises(CalibrationError, match="not found"):
        read_calibration(tmp_path / "c.json", SHA, graphs)
    assert isinstance(Calibration(SHA, "minmax", 1, 1, {}, {}).render(), bytes)
