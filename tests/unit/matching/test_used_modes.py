"""A study with its prior and one without are in two spaces: thresholds, indexes, tables and pages keep them apart."""

import csv
import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from alta_sdk import CalibrationError, EngineError, IndexOrigin, Matcher, ReportIndex, Study
from alta_sdk.cli import main
from alta_sdk.dicom.intensity import MINMAX
from alta_sdk.index.embedding import embed_folder, list_entries
from alta_sdk.matching.operating_point import choose_operating_point
from alta_sdk.matching.thresholds import Threshold
from alta_sdk.study.key import SiteKey


def make_study(frontal=1, prior=2):
    images = [np.random.default_rng(seed).integers(0, 256, (90, 80), dtype=np.uint8) for seed in (frontal, prior or 0)]
    prior_image = images[1] if prior else None
    return Study.from_images(images[0], prior_frontal=prior_image, any_picture=True, intensity_profile=MINMAX)


@pytest.fixture
def matcher(follow_up_bundle, tmp_path):
    folder = shutil.copytree(follow_up_bundle, tmp_path / "copy.alta")
    with Matcher(folder, runtime="onnxruntime", threads=1) as opened:
        yield opened


def test_a_threshold_is_of_studies_with_a_prior_or_of_those_without(matcher):
    point = choose_operating_point(np.arange(40.0) / 40, np.arange(40) >= 20)
    question = matcher._ask(["edema"], "engine")
    with_prior, without = (
        Threshold(question.bind("edema", mode), "youden", None, point) for mode in ("prior", "frontal")
    )
    matcher.keep_thresholds([with_prior])
    assert "edema" in matcher.zero_shot(make_study(), ["edema"]).decisions
    assert not matcher.zero_shot(make_study(prior=None), ["edema"]).decisions
    matcher.check_thresholds(["edema"])  # of studies without a prior there is none yet
    matcher.keep_thresholds([without])
    assert matcher.zero_shot(make_study(prior=None), ["edema"]).decisions
    with pytest.raises(CalibrationError, match="already"):
        matcher.check_thresholds(["edema"])


def test_a_threshold_is_not_chosen_on_studies_of_two_kinds(matcher):
    studies = [make_study(seed, 99 if seed % 3 else None) for seed in range(40)]
    with pytest.raises(CalibrationError, match="two kinds"):
        matcher.choose_threshold(studies, [seed % 2 for seed in range(40)], "edema")


def test_an_index_is_of_one_kind(matcher, tmp_path):
    folder = tmp_path / "studies"
    folder.mkdir()
    for seed in range(3):
        pixels = np.random.default_rng(seed).integers(0, 256, (90, 80), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{seed}.png")
    key = SiteKey(b"k" * 32)

    def read(files):
        return Study.from_images(files, any_picture=True, intensity_profile=MINMAX)

    target = tmp_path / "index.altaindex"
    list(embed_folder(matcher, list_entries(folder), target, key, read))
    index = ReportIndex.open(target)
    assert index.origin.mode == "frontal", "studies are read one by one, without their priors"
    assert index.search(matcher.embed(make_study(1, None)))[0].score == pytest.approx(1, abs=1e-5)
    assert index.search_text("edema", matcher)
    with pytest.raises(EngineError, match="another fusion mode"):
        index.search(matcher.embed(make_study()))
    with pytest.raises(EngineError, match="leave the prior out"):
        list(embed_folder(matcher, list_entries(folder), tmp_path / "other", key, lambda _: make_study()))
    vectors = np.stack([matcher.embed(make_study()).vector])
    origin = IndexOrigin("studies", matcher.engine.manifest.sha256, "prior")
    with_priors = ReportIndex.write(tmp_path / "priors", vectors, [b"1" * 16], origin)
    assert with_priors.search(matcher.embed(make_study()))[0].score == pytest.approx(1, abs=1e-5)


@pytest.fixture
def patients(make_dicom, tmp_path):
    """Two patients' folders, of whom the first has an earlier study."""

    def make(name, seed, day):
        pixels = np.random.default_rng(seed).integers(0, 4096, (90, 80), dtype=np.uint16)
        make_dicom(f"patients/{name}", pixels, StudyDate=day, StudyInstanceUID=f"1.2.{seed}", PatientID=name[0])

    make("a/now.dcm", 1, "20240501")
    make("a/before.dcm", 2, "20240401")
    make("b/now.dcm", 3, "20240501")
    return [str(tmp_path / "patients" / name) for name in "ab"]


def run(*arguments):
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.stderr
    return done


def test_a_run_tells_the_mode_of_each_study(follow_up_bundle, patients, tmp_path):
    written = ("--csv", tmp_path / "run.csv", "--html", tmp_path / "run.html")
    options = ("--engine", follow_up_bundle, "--labels", "edema,", "--any-picture", "--find-prior")
    done = run("score", *patients, *options, *written)
    assert "family biovil-t" in done.stdout and "fusion prior, frontal" in done.stdout
    with (tmp_path / "run.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["fusion_mode"] for row in rows] == ["prior", "frontal"]
    assert [row["slots"] for row in rows] == ["frontal|prior_frontal", "frontal"]
    assert {row["family"] for row in rows} == {"biovil-t"}
    page = (tmp_path / "run.html").read_text()
    assert "<dd>biovil-t</dd>" in page and "<dd>prior, frontal</dd>" in page
    assert "<td>frontal, prior frontal (fusion prior)</td>" in page and "<td>frontal (fusion frontal)</td>" in page
    with Matcher(follow_up_bundle, runtime="onnxruntime", threads=1) as opened:
        manifest = opened.engine.manifest
    for told in (manifest.intended_use, manifest.licence, manifest.logit_scale_note):
        assert f"<dd>{told}</dd>" in page
    told = json.loads(run("score", *patients, *options, "--json").stdout)["studies"]
    assert [one["provenance"]["fusion_mode"] for one in told] == ["prior", "frontal"]


def test_other_commands_name_family_and_mode(follow_up_bundle, patients, tmp_path):
    engine = ("--engine", follow_up_bundle)
    (tmp_path / "reports.txt").write_text("there is edema\nno effusion\n")
    shown = run("rank", patients[1], *engine, "--reports", tmp_path / "reports.txt", "--any-picture").stdout
    assert "family biovil-t" in shown and "fusion frontal" in shown
    folder = tmp_path / "patients" / "b"
    shown = run("embed", folder, "--out", tmp_path / "index", *engine, "--any-picture").stdout
    assert "biovil-t" in shown and "frontal" in shown
    shown = run("compare", patients[0], *engine, "--labels", "edema,", "--any-picture").stdout
    assert "family biovil-t" in shown and "fusion frontal of frontal" in shown
    shown = run("inspect", follow_up_bundle).stdout
    assert "biovil-t" in shown and "prior, frontal" in shown


@pytest.mark.usefixtures("still_clock")
def test_ranking_takes_a_prior_and_an_index_of_studies_without_refuses_it(follow_up_bundle, patients, tmp_path):
    engine = ("--engine", follow_up_bundle, "--any-picture")
    (tmp_path / "reports.txt").write_text("there is edema\nno effusion\n")
    reports = ("--reports", tmp_path / "reports.txt", "--json")
    now, before = (f"{patients[0]}/{name}.dcm" for name in ("now", "before"))
    found = json.loads(run("rank", patients[0], "--find-prior", *engine, *reports).stdout)
    given = json.loads(run("rank", now, "--prior", before, *engine, *reports).stdout)
    assert found == given and found["provenance"]["fusion_mode"] == "prior"
    run("embed", patients[1], "--out", tmp_path / "index", *engine)
    index = ("--index", tmp_path / "index")
    run("rank", patients[0], "--find-prior", "--fusion-mode", "frontal", *engine, *index)
    refused = CliRunner().invoke(main, [str(one) for one in ("rank", now, "--prior", before, *engine, *index)])
    assert refused.exit_code == 1 and refused.stdout == ""
    assert refused.stderr == (
        "EngineError: index is of another fusion mode, frontal: match in that mode (--fusion-mode), or embed again\n"
    )
    twice = CliRunner().invoke(main, ["rank", now, "--prior", before, "--find-prior", *map(str, (*engine, *index))])
    assert twice.exit_code == 2 and "--prior goes without --find-prior" in twice.stderr


@pytest.fixture
def table(make_dicom, tmp_path, matcher):
    """Forty patients with a prior, whose findings are those that the engine would have; and their table."""
    rows = []
    for number in range(40):
        for name, day in (("now", "20240501"), ("before", "20240401")):
            seed = 2 * number + (name == "now")
            pixels = np.random.default_rng(seed).integers(0, 4096, (64, 64), dtype=np.uint16)
            folder = f"patients/p{number}"
            made = {"StudyDate": day, "StudyInstanceUID": f"1.2.{seed}", "PatientID": f"p{number}"}
            make_dicom(f"{folder}/{name}.dcm", pixels, **made)
        study = Study.from_dicom(
            tmp_path / folder, find_prior=True, intensity_profile=MINMAX, any_body_part=True, any_picture=True
        )
        rows.append((folder, matcher.zero_shot(study, ["edema"]).scores["edema"]))
    middle = sorted(score for _, score in rows)[20]
    lines = [f"{folder},{int(score >= middle)}" for folder, score in rows]
    (tmp_path / "table.csv").write_text("\n".join(["study,edema", *lines]) + "\n")
    return tmp_path / "table.csv"


def test_thresholds_are_chosen_on_studies_with_priors_and_decide_those_alone(table, matcher, tmp_path):
    engine = ("--engine", tmp_path / "copy.alta", "--any-picture")
    options = [str(one) for one in ("calibrate", table, "--label", "edema", *engine)]
    refused = CliRunner().invoke(main, options)
    assert refused.exit_code == 1 and "row 1 of the table of studies: StudyError: more than one study" in refused.stderr
    told = json.loads(run(*options, "--find-prior", "--json").stdout)
    assert told["provenance"]["fusion_mode"] == told["thresholds"][0]["binding"]["fusion_mode"] == "prior"
    patient = table.parent / "patients" / "p0"
    score = ("--labels", "edema,", *engine)
    assert "this site's threshold" in run("score", patient, "--find-prior", *score).stdout
    assert "this site's threshold" not in run("score", patient / "now.dcm", *score).stdout


def test_a_table_of_studies_of_two_kinds_is_refused_with_its_rows(table, tmp_path):
    for number in (3, 7):
        (table.parent / "patients" / f"p{number}" / "before.dcm").unlink()
    options = ["calibrate", table, "--label", "edema", "--engine", tmp_path / "copy.alta", "--any-picture"]
    refused = CliRunner().invoke(main, [*map(str, options), "--find-prior"])
    assert refused.exit_code == 1
    assert refused.stderr.splitlines()[-1].startswith(
        "CalibrationError: 2 of 40 studies have no prior that is read (row 4, 8), and their scores are of another kind"
    )
    assert not list(tmp_path.glob("*.thresholds.json"))
