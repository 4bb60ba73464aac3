"""What became of a finding: three shares of one study with its prior, and the engines and studies that have none."""

import copy
import csv
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import SHARED
from schemas import check_output

from alta_sdk import CalibrationError, EngineError, Matcher, PromptError, Slot, Study, StudyError
from alta_sdk.cli import main
from alta_sdk.dicom.intensity import MINMAX
from alta_sdk.matching.progression import FINDINGS, TEMPLATES, Progression, build_progression_set, find_groups
from alta_sdk.study.study import load_study

DATA_DIR = Path(os.environ.get("ALTA_DATA_DIR", SHARED / "data"))


def make_image(seed):
    return np.random.default_rng(seed).integers(0, 256, (90, 80), dtype=np.uint8)


def make_study(frontal=1, prior=2, **others):
    return Study.from_images(
        make_image(frontal),
        prior_frontal=None if prior is None else make_image(prior),
        any_picture=True,
        intensity_profile=MINMAX,
        **others,
    )


@pytest.fixture(scope="module")
def matcher(follow_up_bundle):
    with Matcher(follow_up_bundle, runtime="onnxruntime", threads=1) as opened:
        yield opened


def test_the_shares_are_a_softmax_of_the_three_cosines(matcher):
    study = make_study()
    told = matcher.progression(study, "pleural effusion", temperature=0.1)
    vector = matcher.embed(study).vector.astype(np.float64)
    cosines = []
    for course in TEMPLATES:
        mean = matcher.engine.project_prompts(find_groups("pleural effusion", {})[course].positive).mean(axis=0)
        cosines.append(vector @ (mean / np.linalg.norm(mean)))
    expected = np.exp(10 * np.array(cosines)) / np.exp(10 * np.array(cosines)).sum()
    np.testing.assert_allclose([told.improving, told.stable, told.worsening], expected, atol=1e-6)
    assert told.top == list(TEMPLATES)[int(np.argmax(expected))]


def test_it_says_where_it_comes_from_and_travels(matcher):
    told = matcher.progression(make_study(), " edema ")
    assert told.finding == "edema"
    assert told.provenance["slots"] == ["frontal", "prior_frontal"]
    assert (told.provenance["fusion_mode"], told.provenance["family"]) == ("prior", "biovil-t")
    assert told.provenance["logit_scale"] == 1.0 and "Not for clinical use." in told.provenance["notices"]
    for again in (pickle.loads(pickle.dumps(told)), copy.deepcopy(told)):
        assert again == told and isinstance(again, Progression)
    plain = json.loads(json.dumps(told.as_dict()))
    assert sum(plain[course] for course in TEMPLATES) == pytest.approx(1)
    assert list(plain) == ["label", *TEMPLATES, "top", "provenance"]


def test_a_study_without_a_prior_is_refused(matcher, radiograph_path):
    alone = make_study(prior=None)
    for study in (alone, matcher.embed(alone), radiograph_path):
        with pytest.raises(StudyError, match="no prior frontal radiograph"):
            matcher.progression(study, "edema")
    whole = make_study()
    assert matcher.progression(matcher.embed(whole), "edema").improving == pytest.approx(
        matcher.progression(whole, "edema").improving
    )


def test_a_matcher_of_frontals_alone_still_tells_it(follow_up_bundle, matcher):
    with Matcher(follow_up_bundle, runtime="onnxruntime", threads=1, fusion_mode="frontal") as frontal:
        assert frontal.embed(make_study()).mode == "frontal"
        assert frontal.progression(make_study(), "edema").as_dict()["stable"] == pytest.approx(
            matcher.progression(make_study(), "edema").stable
        )


def test_engines_of_other_families_say_what_to_use(bundle):
    with pytest.raises(EngineError, match=r"family alta reads no prior .*Matcher\.compare, alta compare"):
        Matcher(bundle).progression(make_study(), "edema")


def test_the_named_set_has_the_five_findings_and_is_the_bundles(matcher):
    own = matcher.engine.label_sets["progression"]
    assert own == build_progression_set() and len(own) == 3 * len(FINDINGS)
    edited = {"progression": {name: label for name, label in own.items()}}
    first = next(iter(edited["progression"]))
    edited["progression"][first] = own["edema, stable"]
    assert find_groups("Consolidation", edited)["improving"] == own["edema, stable"], "whatever the case"
    assert find_groups("a lung nodule", edited)["stable"].positive[0] == "a lung nodule has not changed"
    assert find_groups("edema", {}) == find_groups("edema", edited)


def test_what_is_no_finding_is_refused(matcher):
    for finding in ("", "  ", 3, ["edema"]):
        with pytest.raises(PromptError):
            matcher.progression(make_study(), finding)
    with pytest.raises(PromptError, match=r"use Matcher\.progression"):
        matcher.zero_shot(make_study(), "progression")
    with pytest.raises(PromptError, match="no word that this engine knows"):
        matcher.zero_shot(make_study(), {"a": ["肺炎"], "b": ["edema"]})


def test_embeddings_carry_the_mode_that_was_used(matcher):
    whole, alone = matcher.embed(make_study()), matcher.embed(make_study(prior=None))
    assert (whole.mode, alone.mode) == ("prior", "frontal")
    with pytest.raises(EngineError, match="different fusion modes"):
        whole.similarity(alone)
    for one in (whole, alone):
        result = matcher.zero_shot(one, ["edema"])
        assert result.provenance["fusion_mode"] == one.mode
    told = matcher.zero_shot(make_study(prior=None, lateral=make_image(5)), ["edema"]).provenance
    assert (told["slots"], told["fusion_mode"]) == (["frontal"], "frontal")
    assert matcher.provenance["fusion_mode"] == "prior"


def test_compare_scores_both_as_current_studies(matcher):
    comparison = matcher.compare(make_study(1, None), make_study(2, None), ["edema"])
    assert comparison.provenance["fusion_mode"] == "frontal"


def test_learning_from_studies_of_two_kinds_is_refused(matcher):
    whole = [matcher.embed(make_study(seed, seed + 1)) for seed in range(4)]
    alone = [matcher.embed(make_study(seed, None)) for seed in range(8)]
    with pytest.raises(CalibrationError, match="two kinds"):
        matcher.fit_few_shot("edema", whole, alone)
    try:
        learned = matcher.fit_few_shot("edema", alone[:4], alone[4:])
    except CalibrationError:  # random vectors may not separate; the other way round they do
        learned = matcher.fit_few_shot("edema", alone[4:], alone[:4])
    assert (learned.provenance["fusion_mode"], learned.provenance["family"]) == ("frontal", "biovil-t")
    learned.score(alone[0])
    with pytest.raises(EngineError, match="another kind"):
        learned.score(whole[0])


def read_pairs():
    """Return the frontals of each patient of the data set that has several of one view, the first two in time."""
    by_patient = {}
    with (DATA_DIR / "nih_cxr" / "metadata.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            by_patient.setdefault((row["patient"], row["view"]), []).append((int(row["follow_up"]), row["image"]))
    several = [sorted(rows)[:2] for rows in by_patient.values() if len(rows) > 1]
    return [[DATA_DIR / "nih_cxr" / "images" / image for _, image in pair] for pair in several]


def test_swapped_pairs_are_reported(matcher, data_dir, record_property):
    """The weights are random, so nothing is known of which way a score moves: that is reported, and not asserted."""
    pairs = read_pairs()[:12]
    assert pairs
    moved = []
    for earlier, later in pairs:
        frontals = [load_study(path, intensity_profile=MINMAX).radiographs[Slot.FRONTAL] for path in (earlier, later)]
        given, swapped, same = (
            matcher.progression(Study({Slot.FRONTAL: now, Slot.PRIOR_FRONTAL: before}), "pleural effusion")
            for now, before in (frontals[::-1], frontals, frontals[:1] * 2)
        )
        for told in (given, swapped, same):
            assert told.improving + told.stable + told.worsening == pytest.approx(1)
        moved.append((given.worsening - given.improving) - (swapped.worsening - swapped.improving))
        again = matcher.progression(Study({Slot.FRONTAL: frontals[1], Slot.PRIOR_FRONTAL: frontals[0]}), "edema")
        assert again == matcher.progression(
            Study({Slot.FRONTAL: frontals[1], Slot.PRIOR_FRONTAL: frontals[0]}), "edema"
        ), "a pair has one answer"
    record_property("pairs", len(pairs))
    record_property("mean_change_when_swapped", float(np.mean(moved)))
    print(f"{len(pairs)} pairs, worsening less improving moves by {np.mean(moved):+.6f} when they are swapped")


@pytest.fixture
def two_studies(make_dicom):
    def make(name, seed, day, **elements):
        pixels = np.random.default_rng(seed).integers(0, 4096, (90, 80), dtype=np.uint16)
        return make_dicom(name, pixels, StudyDate=day, StudyInstanceUID=f"1.2.{seed}", **elements)

    return make("now/a.dcm", 1, "20240501"), make("before/a.dcm", 2, "20240401"), make


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_the_command_tells_each_finding(follow_up_bundle, matcher, two_studies):
    now, before, _ = two_studies
    given = ["progress", now, before, "--engine", follow_up_bundle, "--any-picture"]
    done = run(*given, "--label", "pleural effusion", "--json")
    assert done.exit_code == 0, done.stderr
    told = check_output("progress", done.stdout)
    study = Study.from_dicom(now, before, intensity_profile=MINMAX, any_picture=True)
    assert told["improving"] == pytest.approx(matcher.progression(study, "pleural effusion").improving, abs=1e-6)
    every = run(*given, "--json")
    assert [one["label"] for one in check_output("progress", every.stdout)["labels"]] == list(FINDINGS)
    assert [one["role"] for one in told["studies"]] == ["current", "prior"] and told["studies"][0]["key"]
    assert told["studies"][0]["key"] != told["studies"][1]["key"]
    shown = run(*given, "--label", "edema", "--label", "edema")
    assert shown.stdout.count("edema") == 1 and "Not for clinical use." in shown.stderr
    for word in ("biovil-t", "fusion prior of frontal, prior_frontal", *TEMPLATES, "largest"):
        assert word in shown.stdout
    assert "Not for clinical use" in " ".join(run("progress", "--help").stdout.split())


def test_the_command_finds_the_prior_in_one_folder(follow_up_bundle, two_studies, tmp_path):
    done = run("progress", tmp_path, "--engine", follow_up_bundle, "--label", "edema", "--any-picture", "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["provenance"]["slots"] == ["frontal", "prior_frontal"]


def test_the_command_takes_two_pictures_whose_order_the_caller_knows(follow_up_bundle, radiograph_path):
    other = sorted(radiograph_path.parent.glob("*.jpg"))[1]
    done = run("progress", radiograph_path, other, "--engine", follow_up_bundle, "--label", "edema", "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["provenance"]["slots"] == ["frontal", "prior_frontal"]


def test_the_command_checks_the_patient_the_order_and_the_family(follow_up_bundle, bundle, two_studies):
    now, before, make = two_studies
    other = make("other/a.dcm", 3, "20240101", PatientID="P2")
    options = ("--engine", follow_up_bundle, "--label", "edema", "--any-picture")
    for arguments, said in (
        ((now, other, *options), "not of the same patient"),
        ((before, now, *options), "StudyError"),
        ((now, *options), "no prior"),
        ((now, before, "--engine", bundle, "--label", "edema"), "alta compare"),
        ((now, before, *options[:2], "--any-picture", "--label", " "), "PromptError"),
    ):
        done = run("progress", *arguments)
        assert done.exit_code == 1 and said in done.stderr, done.stderr
        assert len([line for line in done.stderr.splitlines() if "Error" in line]) == 1
    assert run("progress", "--engine", follow_up_bundle).exit_code == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--fusion-mode", "frontal"), "leave --fusion-mode out"),
        (("--label", "edema, pneumonia"), "--label is one finding, without commas: give it again for each"),
    ],
)
def test_options_that_would_be_passed_over_or_misread_are_refused(follow_up_bundle, tmp_path, options, message):
    done = CliRunner().invoke(main, ["progress", str(tmp_path), "--engine", str(follow_up_bundle), *options])
    assert done.exit_code == 2 and message in " ".join(done.stderr.split())


def test_the_mode_of_a_prior_may_be_named(follow_up_bundle, tmp_path):
    done = CliRunner().invoke(
        main, ["progress", str(tmp_path), "--engine", str(follow_up_bundle), "--fusion-mode", "prior"]
    )
    assert done.exit_code == 1 and "StudyError" in done.stderr
