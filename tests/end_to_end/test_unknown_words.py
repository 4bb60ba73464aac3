"""Training commands tell how many words of their reports the vocabulary lacks."""

import csv

from conftest import run_training_command
from safetensors import safe_open


def test_fit_tells_and_the_checkpoint_keeps_it(labelled, fit_labelled, tmp_path):
    with (labelled / "train.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    table = labelled / "foreign.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows([{**row, "report": "There is pneumonia. 肺炎"} for row in rows])
    done = fit_labelled(tmp_path / "run", data=table, epochs=1)
    words = f"{2 * len(rows)} of {3 * len(rows)}"
    assert f"reports: {words} words are not in the vocabulary" in done.stderr, done.output
    with safe_open(tmp_path / "run" / "last.safetensors", framework="pt") as file:
        assert file.metadata()["unknown_words"] == words


def test_pair_counts_with_a_text_model_that_is_given(labelled, tmp_path):
    command = ["--radiographs", labelled / "labels.csv", "--no-priors", "--text-model", labelled / "text-model"]
    told = run_training_command("pair", *command, "--output", tmp_path / "train.csv")
    assert told.exit_code == 0, told.output
    assert "words are not in the vocabulary" in told.stderr
