"""Cases of ../shared/cases on prompts, on studies as values, and on what a terminal cannot show."""

import copy
import json
import os
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from click.testing import CliRunner

from alta_sdk import Label, PromptError, Slot, Study
from alta_sdk.cli import main

UNREAD = ["肺炎,胸水,骨折", "пневмония,плеврит", "in\N{LATIN SMALL LIGATURE FI}ltration,"]


def run_alta(*arguments, encoding):
    """Run `alta` as a shell does that redirects its output in an encoding."""
    command = [sys.executable, "-c", "from alta_sdk.cli import main; main(prog_name='alta')", *map(str, arguments)]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    return subprocess.run(command, capture_output=True, env=environment, check=False)


@pytest.mark.parametrize("labels", UNREAD)
def test_labels_of_words_that_the_engine_does_not_know_are_refused(demo_export, radiograph_path, labels):
    command = ["score", str(radiograph_path), "--engine", str(demo_export / "demo.alta"), "--labels", labels, "--json"]
    refused = CliRunner().invoke(main, command)
    assert refused.exit_code == 1 and refused.stdout == ""
    assert refused.stderr.startswith("PromptError: label 1 of ") and "no word that this engine knows" in refused.stderr
    assert not any(name in refused.output for name in labels.split(",") if name)


@pytest.mark.parametrize(
    "labels", ["-,", "edema,123", "...,", "the,edema", "no,", "edema,\u200b", "3-4,", "12 %,"], ids=ascii
)
def test_labels_that_say_nothing_are_refused(demo_export, radiograph_path, labels):
    command = ["score", str(radiograph_path), "--engine", str(demo_export / "demo.alta"), "--labels", labels, "--json"]
    refused = CliRunner().invoke(main, command)
    assert refused.exit_code == 1 and refused.stdout == ""
    assert refused.stderr.startswith("PromptError: ") and len(refused.stderr.splitlines()) == 1


@pytest.mark.parametrize("label", ["T4 vertebra", "5 mm nodule", "No Finding", "COVID-19"])
def test_digits_and_small_words_beside_a_finding_are_lawful(demo_export, radiograph_path, label):
    command = ["score", str(radiograph_path), "--engine", str(demo_export / "demo.alta"), "--labels", f"edema,{label}"]
    assert CliRunner().invoke(main, command).exit_code == 0


@pytest.mark.parametrize("label", ["asdfgh", "Lungenentzündung", "pneumonia 肺炎"])
def test_a_label_with_some_unknown_words_is_scored_and_told(demo_export, radiograph_path, label):
    command = ["score", str(radiograph_path), "--engine", str(demo_export / "demo.alta"), "--labels", f"edema,{label}"]
    told = CliRunner().invoke(main, [*command, "--json"])
    assert told.exit_code == 0, told.output
    (note,) = json.loads(told.stdout)["provenance"]["prompt_reading"]
    assert note.startswith("label 2 of 2: ") and note in told.stderr.splitlines()


@pytest.mark.parametrize("remake", [lambda study: pickle.loads(pickle.dumps(study)), copy.deepcopy, copy.copy])
def test_a_study_comes_back_equal_and_read_only(radiograph_path, remake):
    study = Study.from_images(radiograph_path, prior_frontal=radiograph_path)
    again = remake(study)
    assert again == study and hash(again) == hash(study) and again.slots == study.slots
    assert again.explain() == study.explain()
    radiograph = again.radiographs[Slot.FRONTAL]
    np.testing.assert_array_equal(radiograph.grey_u8, study.radiographs[Slot.FRONTAL].grey_u8)
    for array in (radiograph.grey_u8, radiograph.pixels_u8):
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 1
    with pytest.raises(TypeError):
        again.radiographs[Slot.FRONTAL] = None


def test_studies_go_through_a_pool_of_processes(radiograph_path):
    study = Study.from_images(radiograph_path)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        told, back = pool.submit(Study.explain, study).result(), pool.submit(copy.copy, study).result()
    assert told == study.explain() and back == study


@pytest.mark.parametrize("encoding", ["cp1252", "cp437", "ascii", "utf-8"])
def test_a_label_beyond_the_terminal_costs_no_finished_run(demo_export, radiograph_path, encoding):
    labels = "pneumonia,raž 3 cm →"
    done = run_alta(
        "score", radiograph_path, "--engine", demo_export / "demo.alta", "--labels", labels, encoding=encoding
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.decode(encoding, "replace").splitlines()[-2:]]
    assert [rows[0][0], rows[1][1:3]] == ["pneumonia", ["3", "cm"]] and all(0 < float(row[-1]) < 1 for row in rows)
    assert b"Traceback" not in done.stderr and ("raž 3 cm →".encode() in done.stdout) == (encoding == "utf-8")


def test_a_label_of_prompts_is_refused_by_any_of_them(demo_export, radiograph_path):
    from alta_sdk import Matcher

    with Matcher(demo_export / "demo.alta") as matcher, pytest.raises(PromptError, match="a prompt with no word"):
        matcher.zero_shot(radiograph_path, {"edema": Label(["pulmonary edema", "There is 肺炎"], ["no edema"])})
