"""`alta validate` and `alta watch` on small studies: outputs, privacy, what is refused, and what is not read."""

import csv
import json
import re
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from schemas import check_output

from alta_sdk import Matcher
from alta_sdk.cli import main

COUNT = 44
MARK = "DOE_JANE"


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory, radiograph_path):
    """A table of marked pictures of one radiograph, half of them brighter; sixteen patients have two studies."""
    folder = tmp_path_factory.mktemp("site") / MARK
    folder.mkdir()
    grey = np.asarray(Image.open(radiograph_path).convert("L").resize((240, 240))).astype(int)
    rows = []
    for number in range(COUNT):
        rng = np.random.default_rng(number)
        picture = np.clip(grey * (0.7 + 0.1 * (number % 3)) + rng.integers(0, 25, grey.shape), 0, 255).astype(np.uint8)
        Image.fromarray(picture).save(folder / f"{MARK}_{number}.png")
        truth, patient = number % 2, f"{MARK}{number % 28}"
        rows.append([f"{MARK}_{number}.png", patient, "AP" if number < 30 else "PA", 20 + number, truth, 1 - truth])
    write_table(folder / "table.csv", rows)
    return folder


def write_table(path, rows, columns=("study", "patient", "view", "age", "edema", "pneumonia")):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


def read_table(folder):
    with (folder / "table.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))[1:]


def test_every_output_and_no_identifier_in_any(bundle, folder, tmp_path):
    page, table, reference = (tmp_path / name for name in ("page.html", "figures.csv", "reference.json"))
    files = ["--html", page, "--csv", table, "--reference", reference]
    result = run("validate", folder / "table.csv", "--engine", bundle, *files, "--json", "--compare", bundle)
    assert result.exit_code == 0, result.output
    told = check_output("validate", result.stdout)
    edema, pneumonia = told["labels"]
    assert (told["studies"], told["patients"], edema["positives"]) == (COUNT, 28, 22)
    assert edema["auc"]["value"] == edema["delong"]["auc"] and edema["auc"]["low"] <= edema["auc"]["high"]
    assert edema["comparison"]["delong"]["p_value"] == 1
    assert {group["value"] for group in pneumonia["subgroups"]} >= {"AP", "PA", "18 to 39", "60 to 79"}
    assert len(told["table_sha256"]) == len(edema["prompts"]) == 64 and edema["prompts"] != pneumonia["prompts"]
    assert len({case["key"] for case in edema["worst"]}) == 10 and edema["point"] is None
    with table.open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    aucs = [line for line in lines if line["figure"] == "auc" and line["label"] == "edema" and not line["group"]]
    assert [line["method"] for line in aucs] == ["bootstrap by patient", "DeLong"]
    assert float(aucs[0]["value"]) == edema["auc"]["value"] and aucs[0]["engine_sha256"]
    everything = result.output + "".join(path.read_text(encoding="utf-8") for path in (page, table, reference))
    assert MARK not in everything and str(folder) not in everything
    assert "Not for clinical use" in page.read_text(encoding="utf-8")


def test_the_page_loads_nothing_and_shows_text_as_text(bundle, folder, tmp_path):
    evil = "<script>x</script>"
    rows = [[*row[:4], row[4]] for row in read_table(folder)]
    table = write_table(folder / "evil.csv", rows, ("study", "patient", "view", "age", evil))
    page = tmp_path / "page.html"
    result = run("validate", table, "--engine", bundle, "--html", page, "--locate-worst", "--worst", 1)
    assert result.exit_code == 0, result.output
    text = page.read_text(encoding="utf-8")
    assert evil not in text and "&lt;script&gt;" in text
    assert not re.search(r"url\(|@import|https?:|<script|<link|href=", text)
    assert "default-src 'none'" in text and text.count("<svg") == 4 and text.count("data:image/png") == 2


def test_thresholds_beside_the_engine_are_measured_and_not_changed(folder, bundle, tmp_path):
    own = shutil.copytree(bundle, tmp_path / "own.alta")
    rows = [row[:5] for row in read_table(folder)]
    with Matcher(own) as matcher:
        results = matcher.zero_shot([folder / row[0] for row in rows], ["edema"])
    scores = np.array([result.scores["edema"] for result in results])
    for number, place in enumerate(scores.argsort().argsort().tolist()):
        rows[number][4] = (place >= COUNT // 2) ^ (place % 11 == 0) | 0  # as its score says, but for a few
    table = write_table(folder / "likely.csv", rows, ("study", "patient", "view", "age", "edema"))
    given = [table, "--engine", own, "--label", "edema"]
    assert run("calibrate", *given).exit_code == 0
    sidecar = tmp_path / "own.thresholds.json"
    before = sidecar.read_bytes()
    point = json.loads(before)["thresholds"][0]["point"]
    result = run("validate", *given, "--json")
    assert result.exit_code == 0, result.output
    found = check_output("validate", result.stdout)["labels"][0]["point"]
    assert found["threshold"] == point["threshold"] and found["sensitivity"] == point["sensitivity"]
    assert sidecar.read_bytes() == before
    shown = run("validate", *given)
    assert f"{point['threshold']:.4f}" in shown.stdout and "sensitivity" in shown.stdout


def test_a_study_that_cannot_be_read_is_told_and_in_no_figure(bundle, folder, tmp_path):
    rows = read_table(folder)
    rows[4][0] = f"{MARK}_nowhere.png"
    table, page = write_table(folder / "hole.csv", rows), tmp_path / "page.html"
    audit = tmp_path / "audit.jsonl"
    result = run("validate", table, "--engine", bundle, "--json", "--html", page, "--audit", audit)
    told = check_output("validate", result.stdout)
    assert result.exit_code == 1 and told["studies"] == COUNT - 1
    assert told["unread"][0]["number"] == 5 and told["unread"][0]["error"]["class"] == "StudyError"
    assert set(told["unread"][0]) == {"number", "key", "error"} and told["unread"][0]["key"]
    assert f"1 of {COUNT} studies could not be read" in result.stderr.splitlines()[-1]
    assert "could not be read and are in no figure" in page.read_text(encoding="utf-8")
    assert MARK not in result.output + page.read_text(encoding="utf-8") + audit.read_text(encoding="ascii")
    lines = [json.loads(line) for line in audit.read_text(encoding="ascii").splitlines()]
    assert [line["action"] for line in lines] == ["embedded"] * 4 + ["refused"] + ["embedded"] * (COUNT - 5)
    assert lines[4]["study_key"] == told["unread"][0]["key"] and lines[4]["detail"] == "StudyError"
    keys = {line["study_key"] for line in lines}
    assert len(keys) == COUNT and {case["key"] for case in told["labels"][0]["worst"]} <= keys


def test_paths_only_where_they_are_asked_for(bundle, folder, tmp_path):
    page = tmp_path / "page.html"
    arguments = ["validate", folder / "table.csv", "--engine", bundle, "--html", page, "--with-identifiers"]
    assert run(*arguments).exit_code == 0
    assert MARK in page.read_text(encoding="utf-8")
    told = check_output("validate", run(*arguments[:4], "--json", "--with-identifiers").stdout)
    worst = told["labels"][0]["worst"][0]
    assert worst["path"].startswith(str(folder)) and worst["study_instance_uid"] is None
    assert run(*arguments[:4], "--with-identifiers").exit_code == 2


@pytest.mark.parametrize(
    ("change", "more", "message"),
    [
        (lambda rows: rows[2].__setitem__(4, "maybe"), ["--label", "edema"], "row 3 .* truth must be 1, 0 or empty"),
        (lambda rows: rows[2].__setitem__(4, "maybe"), [], "column 5 .* is no truth.*row 3.*--label"),
        (lambda rows: rows[2].__setitem__(3, MARK), [], "row 3 .* no age in years"),
        (lambda rows: [row.__setitem__(2, row[0]) for row in rows], [], f"{COUNT} values"),
        (lambda rows: [row.__setitem__(5, "1") for row in rows], [], "label 2: 44 positive and 0 negative"),
        (lambda rows: rows[1].__setitem__(0, rows[0][0]), [], "a study is twice"),
        (lambda rows: None, ["--labels", "rsna"], "label 1 of the table is not in the label set"),
        (lambda rows: None, ["--label", "edema", "--study-column", "path"], "lacks the columns path"),
        (lambda rows: None, ["--compare", "nowhere.alta"], "EngineError"),
    ],
)
def test_bad_tables_are_one_line(bundle, folder, tmp_path, change, more, message):
    rows = read_table(folder)
    change(rows)
    table = write_table(folder / "bad.csv", rows)
    page = tmp_path / "page.html"
    result = run("validate", table, "--engine", bundle, "--html", page, *more)
    assert result.exit_code == 1 and re.search(message, result.stderr), result.output
    assert len(result.stderr.splitlines()) == 1 and MARK not in result.output and not page.exists()


def test_another_file_is_not_replaced_and_inputs_are_not_written_over(bundle, folder, tmp_path):
    page = tmp_path / "page.html"
    page.write_text("thesis", encoding="utf-8")
    given = ["validate", folder / "table.csv", "--engine", bundle]
    for more in (["--html", page], ["--html", page, "--overwrite"], ["--csv", folder / "table.csv", "--overwrite"]):
        result = run(*given, *more)
        assert result.exit_code == 1 and result.stderr.startswith("AltaError"), result.output
    assert page.read_text(encoding="utf-8") == "thesis"
    assert run(*given, "--locate-worst").exit_code == 2
    assert run(*given, "--html", tmp_path / "a", "--csv", tmp_path / "a").exit_code == 2


def test_the_same_studies_have_not_moved_and_darker_ones_have(bundle, folder, tmp_path):
    reference, later = tmp_path / "reference.json", tmp_path / "later"
    made = run("validate", folder / "table.csv", "--engine", bundle, "--reference", reference)
    assert made.exit_code == 0, made.output
    later.mkdir()
    for path in sorted(folder.glob("*.png")):
        Image.fromarray(np.asarray(Image.open(path)) // 2).save(later / path.name)
    same = run("watch", folder, "--engine", bundle, "--reference", reference, "--json", "--fail-if-moved")
    assert same.exit_code == 0 and check_output("watch", same.stdout)["has_moved"] is False, same.output
    moved = run("watch", later, "--engine", bundle, "--reference", reference, "--fail-if-moved")
    assert moved.exit_code == 1 and "moved" in moved.stdout, moved.output
    assert re.search(r"brightness .* moved", moved.stdout) and MARK not in same.output + moved.output
    listed = tmp_path / "studies.txt"
    listed.write_text(f"{folder}\n{tmp_path / (MARK + '_nowhere')}\n", encoding="utf-8")
    given = ["watch", f"@{listed}", "--engine", bundle, "--reference", reference]
    partly = run(*given, "--json")
    assert partly.exit_code == 1, "as of every command that has read a part"
    (bad,) = check_output("watch", partly.stdout)["unread"]
    assert set(bad) == {"number", "key", "error"} and bad["number"] == COUNT + 1 and bad["key"]
    shown = run(*given, "--audit", tmp_path / "audit.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text(encoding="ascii").splitlines()]
    assert len(lines) == COUNT + 1 and lines[-1]["action"] == "refused" and lines[-1]["study_key"] == bad["key"]
    assert f"study {COUNT + 1} of {COUNT + 1}: StudyError" in shown.stderr and MARK not in shown.output
    assert json.loads(run(*given, "--json", "--with-identifiers").stdout)["unread"][0]["path"].endswith("nowhere")
    assert run(*given, "--with-identifiers").exit_code == 2
    nowhere = run("watch", tmp_path / "nowhere", "--engine", bundle, "--reference", reference)
    assert "CalibrationError: no study can be read; study 1: StudyError: study cannot be read" in nowhere.stderr
    known = reference.read_text(encoding="utf-8")
    told = known.replace(json.loads(known)["engine_sha256"], "0" * 64)
    reference.with_name("another.json").write_text(told, encoding="utf-8")
    early = run("watch", tmp_path / "nowhere", "--engine", bundle, "--reference", reference.with_name("another.json"))
    assert early.exit_code == 1 and "another engine, fusion mode or prompts" in early.stderr  # before any is read
    other = run("watch", folder, "--engine", bundle, "--reference", reference, "--fusion-mode", "published")
    assert other.exit_code == 1 and "another engine, fusion mode or prompts" in other.stderr


def test_a_table_of_which_nothing_is_read_says_why(bundle, folder):
    rows = [[f"{MARK}.png", *row[1:]] if place == 0 else [f"{place}_{row[0]}", *row[1:]]
            for place, row in enumerate(read_table(folder))]  # fmt: skip
    result = run("validate", write_table(folder / "nowhere.csv", rows), "--engine", bundle)
    assert result.exit_code == 1 and MARK not in result.output
    assert "no study of the table can be read; row 1: StudyError: study cannot be read" in result.stderr, result.stderr
