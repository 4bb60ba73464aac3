"""publish.py: a run's best weights in half precision, with a card measured on the stored file."""

import csv
import json
import shutil

import numpy as np
import pytest
from conftest import run_training_command
from PIL import Image

from alta_export.card import read_card_files
from alta_training.families.checkpoint import load_model, read_checkpoint, read_text_model, save_checkpoint

STATED = {"notice": "TEST MODEL.", "training_data": "nothing", "licence": "none"}
LETTERS = "abcd"
SPLITS = {"train": 90, "val": 12, "test": 12}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labelled")
    rng = np.random.default_rng(4)
    rows = []
    for split, count in SPLITS.items():
        for number in range(count):
            name = f"{split}{number}.png"
            Image.fromarray(rng.integers(0, 255, (48, 48), dtype=np.uint8)).save(folder / name)
            finding = "Pneumonia|Effusion" if number % 2 else "No Finding"
            rows.append([name, f"{split}{number}", "PA" if number % 3 else "AP", finding, split])
    with (folder / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["image", "patient", "view", "findings", "split"], *rows])
    return folder / "metadata.csv"


@pytest.fixture
def run_folder(checkpoint_folder, tmp_path):
    folder = tmp_path / "run"
    text_model = read_text_model(checkpoint_folder / "text-model")
    model = load_model(read_checkpoint(checkpoint_folder / "model.safetensors"), text_model)
    shutil.copytree(checkpoint_folder / "text-model", folder / "text-model")
    save_checkpoint(model, folder / "best.safetensors", {**STATED, "epoch": "2"})
    line = {"kind": "validation", "step": 4, "epoch": 2, "auc": 0.625, "auc_low": 0.5, "auc_high": 0.75}
    (folder / "metrics.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
    return folder


def publish(*arguments):
    return run_training_command("publish", *arguments)


def test_the_stored_model_is_half_as_large_and_its_card_has_both_splits(run_folder, table, tmp_path):
    output = tmp_path / "small"
    result = publish(run_folder, "--output", output, "--data", table)
    assert result.exit_code == 0, result.output
    assert (output / "small.safetensors").stat().st_size < 0.6 * (run_folder / "best.safetensors").stat().st_size
    stored = load_model(read_checkpoint(output / "small.safetensors"), read_text_model(output / "text-model"))
    assert {parameter.dtype.itemsize for parameter in stored.parameters()} == {4}
    card = (output / "README.md").read_text(encoding="utf-8")
    for said in ("TEST MODEL.", "Not for clinical use", "| val | 12 (6) | 12 | all |", "| test |", "view alone"):
        assert said in card
    assert "| 2 | 0.625 | 0.500 to 0.750 |" in card
    assert "the epoch of the best AUC on the validation split, epoch 2" in card
    assert "by the published rule; the run does not state its own" in card
    assert "The run does not state whether its training texts hold the sentences “There is pneumonia.”" in card
    assert "Left out, with fewer than 10 positives in the split: val: Effusion (6); test: Effusion (6)." in card
    assert "## Another hospital\n\nNone has been tried." in card
    assert "stored in float16" in card
    content = json.loads((output / "card.json").read_bytes())
    assert content["weights_sha256"] == read_checkpoint(output / "small.safetensors").sha256
    val = content["splits"][0]
    assert (val["split"], val["radiographs"], val["positive"], val["patients"]) == ("val", 12, 6, 12)
    spelled = "{value:.3f} ({low:.3f} to {high:.3f})".format(**val["auc"])
    assert f"| val | 12 (6) | 12 | all | {spelled} |" in card
    taken = read_card_files(None, output / "small.safetensors", read_checkpoint(output / "small.safetensors"), "x")
    assert taken == {"card.md": card.encode(), "card.json": (output / "card.json").read_bytes()}


def test_a_run_without_validation_is_stored_with_what_it_states_and_what_others_measured(run_folder, table, tmp_path):
    best = read_checkpoint(run_folder / "best.safetensors")
    model = load_model(best, read_text_model(run_folder / "text-model"))
    counts = json.dumps({"reports": 90, "findings": {"pneumonia": [0, 0]}})
    own = {"epoch": "5", "trained_parameters": "7 of 9 (77.8 %)", "prompt_sentences": counts}
    save_checkpoint(model, run_folder / "last.safetensors", {**STATED, **own})
    (run_folder / "best.safetensors").unlink()
    (run_folder / "metrics.jsonl").write_text("", encoding="utf-8")
    (tmp_path / "parts.md").write_text("## Without each part\n\n| part | AUC |\n", encoding="utf-8")
    result = publish(
        *(run_folder, "--output", tmp_path / "small", "--data", table),
        *("--other-pairs", write_pairs(table, tmp_path), "--statement", tmp_path / "parts.md"),
    )
    assert result.exit_code == 0, result.output
    card = (tmp_path / "small" / "README.md").read_text(encoding="utf-8")
    for said in (
        "Chosen: the weights after epoch 5, the run's last: no validation chose them",
        "Trained parameters of the alignment: 7 of 9 (77.8 %)\n",
        "None of the 90 texts of the training table holds the sentence “There is pneumonia.”",
        "## Another hospital: elsewhere",
        "The test split: 4 radiographs of 2 patients",
        "AUC of the 4 radiographs of 2 patients that its table calls pneumonia, by name or cause, against the 6 ",
    ):
        assert said in card
    assert "Validation over the epochs" not in card
    assert card.endswith("## Without each part\n\n| part | AUC |\n")


def test_a_published_model_replaces_its_older_self_and_nothing_else(run_folder, table, tmp_path):
    given = [run_folder, "--output", tmp_path / "small", "--data", table]
    assert publish(*given).exit_code == 0
    assert publish(*given).exit_code == 1, "not without --overwrite"
    (tmp_path / "small" / "README.md").write_text("edited", encoding="utf-8")
    assert publish(*given, "--overwrite").exit_code == 0
    again = (tmp_path / "small" / "README.md").read_text(encoding="utf-8")
    assert again.startswith("---\n") and again.partition("\n---\n")[2].startswith("# small")
    (tmp_path / "small" / "letter.txt").write_text("mine", encoding="utf-8")
    assert publish(*given, "--overwrite").exit_code == 1
    assert (tmp_path / "small" / "letter.txt").read_text(encoding="utf-8") == "mine"


def write_pairs(table, tmp_path):
    """Write a table of four captioned radiographs, which are files of the labelled table."""
    rows = [[f"test{n}.png", n // 2, "COVID-19", f"There is {LETTERS[n]} edema.", "test"] for n in range(4)]
    (tmp_path / "elsewhere").mkdir()
    shutil.copytree(table.parent, tmp_path / "elsewhere" / "images")
    with (tmp_path / "elsewhere" / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["image", "patient", "findings", "caption", "split"], *rows])
    return tmp_path / "elsewhere" / "metadata.csv"


def test_a_statement_without_a_heading_and_a_run_without_weights_are_refused(run_folder, table, tmp_path):
    (tmp_path / "parts.md").write_text("| part | AUC |\n", encoding="utf-8")
    given = [run_folder, "--output", tmp_path / "small", "--data", table]
    headless = publish(*given, "--statement", tmp_path / "parts.md")
    assert headless.exit_code == 1 and "statement parts.md has no heading" in headless.stderr
    absent = publish(*given, "--statement", tmp_path / "absent.md")
    assert absent.exit_code == 1 and "statement absent.md cannot be read" in absent.stderr
    (run_folder / "metrics.jsonl").write_text('{"kind": "validation"', encoding="utf-8")
    cut_short = publish(*given)
    assert (
        cut_short.exit_code == 1 and "metrics.jsonl cannot be read: give a folder of alta-train fit" in cut_short.stderr
    )
    (run_folder / "best.safetensors").unlink()
    empty = publish(*given)
    assert empty.exit_code == 1 and "run has no best.safetensors and no last.safetensors" in empty.stderr
    assert not (tmp_path / "small").exists()


def test_a_taken_folder_and_a_run_without_statements_are_refused(run_folder, table, tmp_path):
    output = tmp_path / "small"
    output.mkdir()
    taken = publish(run_folder, "--output", output, "--data", table)
    assert taken.exit_code == 1 and "small exists" in taken.stderr
    assert not list(output.iterdir())
    text_model = read_text_model(run_folder / "text-model")
    model = load_model(read_checkpoint(run_folder / "best.safetensors"), text_model)
    save_checkpoint(model, run_folder / "best.safetensors", {"licence": "none"})
    refused = publish(run_folder, "--output", tmp_path / "other", "--data", table)
    assert refused.exit_code == 1
    assert "does not state its notice, training_data" in refused.stderr
    assert not (tmp_path / "other").exists()


def test_what_a_run_does_not_state_is_given_to_publish_and_nothing_else(run_folder, table, tmp_path):
    text_model = read_text_model(run_folder / "text-model")
    model = load_model(read_checkpoint(run_folder / "best.safetensors"), text_model)
    save_checkpoint(model, run_folder / "last.safetensors", {"licence": "none", "epoch": "5"})
    (run_folder / "best.safetensors").unlink()
    given = (run_folder, "--output", tmp_path / "small", "--data", table, "--notice", "LATE.")
    lacking = publish(*given)
    assert lacking.exit_code == 1 and "does not state its training_data: give --training-data here" in lacking.stderr
    other = publish(*given, "--training-data", "these", "--licence", "CC0")
    assert other.exit_code == 1 and "the run states another licence: leave it out here" in other.stderr
    assert not (tmp_path / "small").exists()
    stored = publish(*given, "--training-data", "these", "--licence", "none")
    assert stored.exit_code == 0, stored.output
    card = (tmp_path / "small" / "README.md").read_text(encoding="utf-8")
    assert "**LATE. Not for clinical use" in card and "Trained on: these" in card and "no validation chose them" in card
    assert read_checkpoint(tmp_path / "small" / "small.safetensors").metadata["training_data"] == "these"


def test_a_value_beyond_half_precision_is_refused(run_folder, table, tmp_path):
    text_model = read_text_model(run_folder / "text-model")
    model = load_model(read_checkpoint(run_folder / "best.safetensors"), text_model)
    model.image.patch_embed.proj.weight.data[0] = 1e6
    save_checkpoint(model, run_folder / "best.safetensors", STATED)
    refused = publish(run_folder, "--output", tmp_path / "small", "--data", table)
    assert refused.exit_code == 1 and "holds values that" in refused.stderr
    assert not (tmp_path / "small").exists()
