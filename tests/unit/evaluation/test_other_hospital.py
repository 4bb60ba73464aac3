"""Radiographs of other hospitals: retrieval of their own words, and a finding against normal ones from here."""

import csv
from pathlib import Path

import numpy as np
import pytest
from fakes.encoder import FakeEncoder

from alta_sdk import TrainingError
from alta_training.data.captioned import CaptionedRadiograph, read_captioned
from alta_training.data.labelled import LabelledRadiograph
from alta_training.evaluation.other_hospital import chance_of_hit, evaluate_pairs, evaluate_shift, find_hits

HEADER = ["image", "patient", "findings", "caption", "split"]
AXES = np.eye(4)


def make(number, caption, *findings):
    return CaptionedRadiograph(Path(f"{number}.png"), str(number // 2), caption, frozenset(findings))


def test_a_hit_is_a_caption_with_the_same_words():
    similarity = np.array([[0.1, 0.9, 0.2], [0.9, 0.1, 0.2], [0.9, 0.8, 0.1]])
    words = np.array([0, 0, 1])
    assert find_hits(similarity, words, 1).tolist() == [True, True, False]
    assert find_hits(similarity, words, 3).tolist() == [True, True, True]


def test_chance_minds_equal_captions():
    assert chance_of_hit(np.arange(10), 1) == pytest.approx(1 / 10)
    assert chance_of_hit(np.arange(10), 5) == pytest.approx(5 / 10)
    assert chance_of_hit(np.array([0, 0, 1, 2]), 1) == pytest.approx((2 / 4 + 2 / 4 + 1 / 4 + 1 / 4) / 4)
    assert chance_of_hit(np.array([0, 0, 1, 2]), 4) == 1


def test_radiographs_at_the_place_of_their_captions_are_all_recalled():
    texts = {f"word {axis}": AXES[axis] for axis in range(4)}
    radiographs = [make(number, f"word {number % 4}") for number in range(12)] + [make(12, "")]
    encoder = FakeEncoder({f"{number}.png": AXES[number % 4] for number in range(12)}, texts)
    figures = evaluate_pairs(encoder, radiographs)
    assert (figures["pairs"], figures["captions"], figures["patients"]) == (12, 4, 6)
    for way in ("to_caption", "to_image"):
        assert figures[f"{way}_r1"] == figures[f"{way}_r1_low"] == figures[f"{way}_r1_high"] == 1
        assert figures[f"{way}_r1_chance"] == pytest.approx(3 / 12)
    opposite = FakeEncoder({f"{number}.png": AXES[(number + 1) % 4] for number in range(12)}, texts)
    assert evaluate_pairs(opposite, radiographs)["to_image_r1"] == 0
    with pytest.raises(TrainingError, match="two different captions"):
        evaluate_pairs(encoder, radiographs[:1])


def test_few_pairs_have_no_recall_at_ten():
    encoder = FakeEncoder({f"{number}.png": AXES[number] for number in range(4)}, {f"w{n}": AXES[n] for n in range(4)})
    figures = evaluate_pairs(encoder, [make(number, f"w{number}") for number in range(4)])
    assert "to_caption_r1" in figures and "to_caption_r5" not in figures


def test_a_pneumonia_by_its_cause_is_held_against_normal_ones_alone():
    texts = {"There is pneumonia": [1, 0], "There is no pneumonia": [0, 1]}
    found = [("covid-19", "ards"), ("streptococcus",), ("ards",), ("no finding",), (), ("pneumonia",)]
    here = [make(number, "", *names) for number, names in enumerate(found)]
    there = [LabelledRadiograph(Path(f"n{number}.png"), str(number), "PA", number == 4) for number in range(5)]
    files = {f"{n}.png": [1, 0.2] for n in range(6)} | {
        f"n{n}.png": [1, 0.2] if n in (0, 4) else [0, 1] for n in range(5)
    }
    figures = evaluate_shift(FakeEncoder(files, texts), here, there, "Pneumonia")
    assert (figures["positive"], figures["positive_patients"], figures["normal"]) == (3, 2, 4)
    assert figures["auc"] == pytest.approx(1 - 1 / 4 / 2)  # one of four normal ones is tied
    assert figures["auc_low"] <= figures["auc"] <= figures["auc_high"]
    with pytest.raises(TrainingError, match="both classes"):
        evaluate_shift(FakeEncoder(files, texts), here[2:4], there, "Pneumonia")


def test_captioned_rows_of_a_split_are_read(tmp_path):
    rows = [["a.png", 1, "COVID-19|ARDS", "Hazy  opacities.", "test"], ["b.png", 2, "", "", "val"]]
    with (tmp_path / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([HEADER, *rows])
    (tmp_path / "images").mkdir()
    with pytest.raises(TrainingError, match="1 of 1 image files are not there"):
        read_captioned(tmp_path / "metadata.csv", split="test")
    (tmp_path / "images" / "a.png").touch()
    (radiograph,) = read_captioned(tmp_path / "metadata.csv", split="test")
    assert radiograph.caption == "Hazy opacities."
    assert radiograph.findings == {"covid-19", "ards"}
    with pytest.raises(TrainingError, match="no radiograph in split train"):
        read_captioned(tmp_path / "metadata.csv", split="train")
