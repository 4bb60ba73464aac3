"""The sidecar of thresholds: bound to the engine and to the kind of score, atomic, without a patient."""

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from schemas import check_output

from alta_sdk import CalibrationError, Label, Matcher, PromptError, StudyEmbedding
from alta_sdk.cli import main

COUNT = 25


@pytest.fixture
def own(bundle, tmp_path):
    """A copy of the engine that may get a sidecar."""
    return Matcher(shutil.copytree(bundle, tmp_path / "own.alta"))


def make_studies(matcher, label="pneumonia"):
    """Embeddings that lean to the positive or the negative prompt."""
    text = matcher.embed_text([f"There is {label}", f"There is no {label}"])
    rng = np.random.default_rng(1)
    lean = np.concatenate([rng.normal(0.7, 0.3, COUNT), rng.normal(-0.7, 0.3, COUNT)])
    vectors = lean[:, None] * (text[0] - text[1]) + text.mean(axis=0)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    engine = matcher.engine.manifest.sha256
    return [StudyEmbedding(v, matcher.fusion_mode, engine) for v in vectors], [True] * COUNT + [False] * COUNT


def test_decisions_follow_the_threshold_also_in_a_new_matcher(own):
    studies, truth = make_studies(own)
    assert own.zero_shot(studies[0], ["pneumonia"]).decisions == {}
    chosen = own.calibrate(studies, truth, "pneumonia", target="sensitivity", at_least=0.9)
    again = Matcher(own.engine)
    for matcher in (own, again):
        results = matcher.zero_shot(studies, ["pneumonia", "edema"])
        assert {frozenset(result.decisions) for result in results} == {frozenset(["pneumonia"])}
        said = [result.decisions["pneumonia"].is_above for result in results]
        assert np.mean(said[:COUNT]) == chosen.point.sensitivity.value >= 0.9
        assert 1 - np.mean(said[COUNT:]) == chosen.point.specificity.value
    told = results[0].as_dict()["decisions"]["pneumonia"]
    assert told == {"is_above": said[0], "threshold": chosen.point.threshold}


def test_a_score_of_another_kind_gets_no_decision(own):
    studies, truth = make_studies(own)
    own.calibrate(studies, truth, "pneumonia")
    other_prompts = {"pneumonia": Label(["infection"], ["no infection"])}
    assert own.zero_shot(studies[0], other_prompts).decisions == {}
    assert own.zero_shot(studies[0], ["pneumonia"], temperature=None).decisions == {}
    other_mode = Matcher(own.engine, fusion_mode="present")
    present = StudyEmbedding(studies[0].vector, "present", studies[0].engine)
    assert other_mode.zero_shot(present, ["pneumonia"]).decisions == {}
    assert own.zero_shot(studies[0], "rsna").decisions != {}, "the same pair under another name"


def test_labels_without_negatives_are_bound_to_the_whole_set(own):
    studies, truth = make_studies(own)
    labels = {"pneumonia": ["There is pneumonia"], "none": ["There is no pneumonia"]}
    own.calibrate(studies, truth, "pneumonia", labels=labels)
    assert list(own.zero_shot(studies[0], labels).decisions) == ["pneumonia"]
    assert own.zero_shot(studies[0], {**labels, "edema": ["There is edema"]}).decisions == {}


def own_labels(matcher):
    return {binding.label for binding in matcher.thresholds.entries}


def test_a_second_label_joins_and_a_second_run_replaces(own):
    for label in ("pneumonia", "edema", "pneumonia"):
        own.calibrate(*make_studies(own, label), label, overwrite=label in own_labels(own))
    content = json.loads((own.engine.bundle.folder.parent / "own.thresholds.json").read_text())
    assert sorted(entry["binding"]["label"] for entry in content["thresholds"]) == ["edema", "pneumonia"]
    assert not list(own.engine.bundle.folder.parent.glob(".*"))


def test_the_sidecar_of_another_engine_or_an_edited_one_is_refused(own):
    own.calibrate(*make_studies(own), "pneumonia")
    path = own.engine.bundle.folder.parent / "own.thresholds.json"
    text = path.read_text()
    for changed in (
        text.replace('"threshold": 0.', '"threshold": 0.0'),
        text[:-20],
        "[]",
        "[" * 100_000,
        text.replace('"schema_version": 1', '"schema_version": 2'),
    ):
        path.write_text(changed)
        with pytest.raises(CalibrationError):
            Matcher(own.engine)
    path.write_text(text)
    other = shutil.copytree(own.engine.bundle.folder, path.with_name("other.alta"))
    manifest = own.engine.bundle.manifest
    path.rename(path.with_name("other.thresholds.json"))
    assert Matcher(other).thresholds.engine == manifest.sha256
    from alta_sdk.matching.thresholds import Thresholds, save_thresholds

    save_thresholds(Thresholds("0" * 64, own.thresholds.entries), own.engine.bundle)
    with pytest.raises(CalibrationError, match="another engine"):
        Matcher(own.engine)


def test_wrong_truth_and_labels_are_refused_before_any_study_is_read(own):
    paths = ["not there"] * 40
    for truth in ([True] * 39, [2] * 40, ["1"] * 40, [True] * 40, [True] * 30 + [False] * 10):
        with pytest.raises(CalibrationError):
            own.calibrate(paths, truth, "pneumonia")
    with pytest.raises(PromptError, match="not one of the labels"):
        own.calibrate(paths, [True] * 20 + [False] * 20, "edema", labels="rsna")


@pytest.fixture
def table(tmp_path):
    """Forty-four images, bright or dark; the truth of two findings."""
    folder = tmp_path / "DOE"
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows = ["study,Pneumonia,edema"]
    for number in range(44):
        is_bright = number % 2
        pixels = rng.integers(0, 60, (230, 230)) + 150 * is_bright
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"JANE_{number}.png")
        rows.append(f"JANE_{number}.png,{is_bright},{'' if number > 30 else is_bright}")
    path = folder / "table.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def calibrate(table, own, *more):
    return CliRunner().invoke(main, ["calibrate", str(table), "--engine", str(own.engine.bundle.folder), *more])


def test_the_command_calibrates_and_scoring_decides(own, table):
    flipped = False
    result = calibrate(table, own, "--label", "Pneumonia", "--json")
    if "do not separate" in result.stderr:  # the random model may find bright images less like pneumonia
        flipped, lines = True, table.read_text().splitlines()
        cells = [line.split(",") for line in lines[1:]]
        table.write_text("\n".join([lines[0], *(f"{c[0]},{1 - int(c[1])},{c[2]}" for c in cells)]) + "\n")
        result = calibrate(table, own, "--label", "Pneumonia", "--json")
    assert result.exit_code == 0, result.output
    point = check_output("calibrate", result.stdout)["thresholds"][0]["point"]
    assert (point["positives"], point["negatives"]) == (22, 22)
    assert "JANE" not in result.output
    scored = CliRunner().invoke(
        main, ["score", str(table.parent / "JANE_1.png"), "--engine", str(own.engine.bundle.folder), "--labels",
               "Pneumonia,", "--json"],
    )  # fmt: skip
    decision = check_output("score", scored.stdout)["decisions"]["Pneumonia"]
    assert decision["threshold"] == point["threshold"]
    if point["sensitivity"]["value"] == point["specificity"]["value"] == 1:
        assert decision["is_above"] is not flipped
    assert b"JANE" not in (own.engine.bundle.folder.parent / "own.thresholds.json").read_bytes()


def test_the_command_refuses_what_it_cannot_use(own, table):
    text = table.read_text()
    few = calibrate(table, own, "--label", "edema")
    assert few.exit_code == 1 and "needs 20 of each" in few.stderr
    assert "lacks the columns" in calibrate(table, own, "--label", "effusion").stderr
    table.write_text(text.replace("JANE_5.png,1", "JANE_5.png,yes"))
    assert "row 6 of the table of studies: truth" in calibrate(table, own, "--label", "Pneumonia").stderr
    table.write_text(text.replace("JANE_5.png", "JANE_4.png"))
    assert "twice" in calibrate(table, own, "--label", "Pneumonia").stderr
    (table.parent / "JANE_5.png").write_bytes(b"JANE")
    table.write_text(text)
    unreadable = calibrate(table, own, "--label", "Pneumonia")
    assert unreadable.exit_code == 1 and "row 6" in unreadable.stderr and "JANE" not in unreadable.output
    assert not (own.engine.bundle.folder.parent / "own.thresholds.json").exists()
