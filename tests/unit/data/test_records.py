"""The training table, its checker, pixels with and without the cache, and pairing."""

import csv

import numpy as np
import pytest
from PIL import Image

from alta_sdk import StudyError, TrainingError
from alta_sdk.study.geometry import ALTA_GEOMETRY
from alta_training.data.pairing import FoundRadiograph, Report, link_previous, pair_radiographs, read_rules
from alta_training.data.pixels import PixelReader
from alta_training.data.records import COLUMNS, check_records, digest_records, keep_good, read_table
from alta_training.data.vocabulary import learn_vocabulary


@pytest.fixture
def write_table(tmp_path):
    def write(*rows, columns=(*COLUMNS, "report")):
        path = tmp_path / "train.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([columns, *rows])
        return path

    return write


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (30, 26), dtype=np.uint8)).resize((260, 300)).save(path)
    return path


def test_missing_slots_are_minus_one_or_empty(write_table, image):
    (record,) = read_table(write_table(["a.png", "-1", "", "-1", "clear lungs"]))
    assert record.images == (image, None, None, None)
    assert (record.row, record.report) == (1, "clear lungs")


def test_a_table_without_a_column_is_refused_by_name(write_table):
    with pytest.raises(TrainingError, match="lacks the columns last_image_path"):
        read_table(
            write_table(["a.png"], columns=["image_path", "auxview_image_path", "last_auxview_image_path", "report"])
        )


def test_every_bad_row_is_listed_and_the_good_ones_can_be_kept(write_table, image, tmp_path):
    (tmp_path / "text.png").write_text("no image")
    table = write_table(
        ["a.png", -1, -1, -1, "clear"],
        ["none.png", -1, -1, -1, "clear"],
        ["a.png", "text.png", -1, -1, "clear"],
        ["a.png", -1, -1, -1, " "],
        [-1, -1, -1, -1, "clear"],
    )
    records = read_table(table)
    reader = PixelReader("published-v1")
    bad = check_records(records, lambda path: reader.read(path, with_target=False), workers=2)
    assert [row.row for row in bad] == [2, 3, 4, 5]
    assert [record.row for record in keep_good(records, bad, "skip", "train.csv")] == [1]
    assert [row.problem.partition(":")[0] for row in bad] == [
        "image_path",
        "auxview_image_path",
        "empty report",
        "no current frontal image",
    ]
    assert not any("none.png" in row.problem for row in bad)  # a file's name may be a patient's
    with pytest.raises(TrainingError, match="4 of 5 rows of train.csv cannot be used: row 2"):
        keep_good(records, bad, "stop", "train.csv")
    with pytest.raises(TrainingError, match="no usable row"):
        keep_good(records[1:], bad, "skip", "train.csv")


def test_a_caption_is_read_and_checked_where_it_is_needed_and_changes_the_digest_only_there(write_table, image):
    rows = (["a.png", -1, -1, -1, "clear", "no finding"], ["a.png", -1, -1, -1, "clear", " "])
    table = write_table(*rows, columns=(*COLUMNS, "report", "caption"))
    plain, captioned = read_table(table), read_table(table, with_caption=True)
    assert [record.caption for record in plain] == [None, None]
    assert [record.caption for record in captioned] == ["no finding", ""]
    assert check_records(plain, lambda path: None, 1) == []
    assert [row.problem for row in check_records(captioned, lambda path: None, 1)] == ["empty caption"]
    without = write_table(*(row[:5] for row in rows))
    assert digest_records(plain) == digest_records(read_table(without)) != digest_records(captioned)
    with pytest.raises(TrainingError, match="lacks the columns caption"):
        read_table(without, with_caption=True)


def test_the_cache_gives_the_same_pixels_and_mends_itself(image, tmp_path):
    fresh = PixelReader("published-v1").read(image, with_target=True)
    cached = PixelReader("published-v1", tmp_path / "cache")
    for _ in range(2):
        read = cached.read(image, with_target=True)
        np.testing.assert_array_equal(read.small, fresh.small)
        np.testing.assert_array_equal(read.large, fresh.large)
    files = sorted((tmp_path / "cache").rglob("*.npy"))
    assert len(files) == 2
    for file in files:
        file.write_bytes(file.read_bytes()[:100])
    np.testing.assert_array_equal(cached.read(image, with_target=True).large, fresh.large)


def test_a_changed_image_is_not_taken_from_the_cache(image, tmp_path):
    cached = PixelReader("published-v1", tmp_path / "cache")
    before = cached.read(image, with_target=False).small
    Image.fromarray(np.zeros((400, 400), dtype=np.uint8)).save(image)
    assert not np.array_equal(cached.read(image, with_target=False).small, before)


def test_the_target_is_the_same_view_at_twice_the_resolution(image):
    pixels = PixelReader("published-v1").read(image, with_target=True)
    assert pixels.large.shape == (448, 448)
    halved = np.asarray(Image.fromarray(pixels.large).resize((224, 224), Image.Resampling.BICUBIC), dtype=float)
    assert np.corrcoef(halved.ravel(), pixels.small.ravel())[0, 1] > 0.99
    np.testing.assert_array_equal(ALTA_GEOMETRY.to_pixels(np.asarray(Image.open(image))), pixels.small)


def test_a_lateral_dicom_image_is_read_since_the_table_tells_its_slot(make_dicom):
    path = make_dicom(ViewPosition="LL")
    assert PixelReader("published-v1").read(path, with_target=False).small.shape == (224, 224)


def test_a_damaged_image_raises_a_study_error(tmp_path):
    (tmp_path / "b.jpg").write_bytes(b"\xff\xd8\xff" + b"0" * 50)
    with pytest.raises(StudyError):
        PixelReader("published-v1", tmp_path / "cache").read(tmp_path / "b.jpg", with_target=True)


def make_radiograph(image, patient, order, *findings):
    return FoundRadiograph(image, patient, (float(order), ""), findings)


def test_radiographs_get_reports_of_their_finding_and_use_is_spread():
    rules = read_rules()
    reports = [
        Report("n1", "clear lungs today", ("normal",)),
        Report("n2", "nothing to see", ("normal",)),
        Report("p", "a left opacity", ("opacity/lung/base/left",)),
        Report("e", "fluid", ("pleural effusion/left",)),
    ]
    radiographs = [
        make_radiograph("a", "1", 0, "No Finding"),
        make_radiograph("b", "1", 1, "No Finding"),
        make_radiograph("c", "2", 0, "Pneumonia"),
        make_radiograph("d", "2", 1, "Effusion", "Pneumonia"),
        make_radiograph("e", "3", 1, "Hernia"),
    ]
    pairs = {pair.radiograph.image: pair for pair in pair_radiographs(radiographs, reports, rules)}
    assert {pairs["a"].report.uid, pairs["b"].report.uid} == {"n1", "n2"}
    assert pairs["c"].report.uid == "p"
    assert pairs["d"].report.uid in {"p", "e"}
    assert "e" not in pairs
    assert pairs["b"].prior.image == "a"
    assert pairs["a"].prior is None


def test_priors_are_earlier_and_of_the_same_patient():
    radiographs = [
        make_radiograph("late", "1", 9, "x"),
        make_radiograph("early", "1", 2, "x"),
        make_radiograph("o", "2", 1, "x"),
    ]
    assert {image: prior.image for image, prior in link_previous(radiographs).items()} == {"late": "early"}


def test_pairing_nothing_is_an_error():
    with pytest.raises(TrainingError, match="no radiograph could be paired"):
        pair_radiographs([make_radiograph("a", "1", 0, "Hernia")], [Report("n", "x y z", ("normal",))], read_rules())


def test_a_vocabulary_is_the_same_for_the_same_reports_and_knows_every_word():
    from tokenizers import Tokenizer

    from alta_sdk.engine.tokenizer import build_wordpiece

    reports = ["The lungs are clear.", "No pleural effusion or pneumothorax.", "Heart size is normal."] * 3
    vocabulary = learn_vocabulary(reports, 600)
    assert vocabulary == learn_vocabulary(reports, 600)
    assert vocabulary[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokens = Tokenizer.from_str(build_wordpiece(vocabulary)).encode("quixotic zebra 2026").tokens
    assert "[UNK]" not in tokens
    with pytest.raises(TrainingError, match="too small"):
        learn_vocabulary(reports, 40)
