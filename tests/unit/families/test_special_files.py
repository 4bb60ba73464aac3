"""Pipes and devices where training, export and publishing read a file: one line of ours, and no waiting."""

import json
import os

import pytest
from click.testing import CliRunner
from conftest import ROOT

from alta_export.calibration import read_calibration
from alta_export.cli import main as export_main
from alta_sdk.errors import AltaError, CheckpointError
from alta_training.data.pairing import read_rules
from alta_training.data.sentence_model import embed_sentences
from alta_training.data.sentences import read_wordings
from alta_training.data.teacher import read_teacher
from alta_training.evaluation.arms import read_arms
from alta_training.evaluation.protocol_files import read_rsna
from alta_training.families.archives import read_member
from alta_training.families.checkpoint import read_checkpoint, read_text_model
from alta_training.families.dinov2_sources import read_source
from alta_training.run.files import cut_metrics
from alta_training.run.recipe_files import read_recipe
from alta_training.work.publish import read_curve, read_statement

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names on this system")
KINDS = ("pipe", "device", "link to a pipe")
READERS = {
    "recipe": read_recipe,
    "arms": read_arms,
    "rules": read_rules,
    "wordings": read_wordings,
    "teacher": lambda path: read_teacher(path, [], 8),
    "list": read_rsna,
    "archive": lambda path: read_member(path, ".onnx"),
    "sentence model": lambda path: embed_sentences(path, ROOT / "pyproject.toml", ["a"]),
    "tokenizer": lambda path: embed_sentences(ROOT / "pyproject.toml", path, ["a"]),
    "checkpoint": read_checkpoint,
    "calibration": lambda path: read_calibration(path, "a" * 64, {}),
    "statement": read_statement,
    "curve": read_curve,
}


def refuse(use, path):
    with pytest.raises(AltaError) as caught:
        use(path)
    assert "\n" not in str(caught.value) and str(path.parent) not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("use", READERS.values(), ids=READERS)
def test_what_is_no_file_is_refused_at_once(use, kind, tmp_path, make_special, run_in_time):
    make_special(kind, tmp_path / "given")
    run_in_time(lambda: refuse(use, tmp_path / "given"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["given.onnx", "given.whl", "given.zip", "given.safetensors", "given.pth"])
def test_a_tower_is_read_of_files_alone(name, kind, tmp_path, make_special, run_in_time):
    make_special(kind, tmp_path / name)
    for use in (read_source, read_checkpoint):
        run_in_time(lambda use=use: refuse(use, tmp_path / name))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["config.json", "vocab.txt", "tokenizer_config.json"])
def test_a_text_model_is_read_of_files_alone(name, kind, tmp_path, make_special, run_in_time):
    content = {
        "config.json": json.dumps({"vocab_size": 5}),
        "vocab.txt": "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n",
        "tokenizer_config.json": "{}",
    }
    for other, text in content.items():
        (tmp_path / other).write_text(text, encoding="utf-8")
    (tmp_path / name).unlink()
    make_special(kind, tmp_path / name)
    with pytest.raises(CheckpointError, match="cannot be read as a BERT folder"):
        run_in_time(lambda: read_text_model(tmp_path))


@pytest.mark.parametrize("kind", KINDS)
def test_the_metrics_of_a_run_that_is_resumed_are_a_file(kind, tmp_path, make_special, run_in_time):
    cut_metrics(tmp_path, 3)
    make_special(kind, tmp_path / "metrics.jsonl")
    run_in_time(lambda: refuse(lambda path: cut_metrics(path.parent, 3), tmp_path / "metrics.jsonl"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_signing_key_is_a_file(kind, bundle, tmp_path, make_special, run_in_time):
    make_special(kind, tmp_path / "key")
    arguments = ["sign", str(bundle), "--key", str(tmp_path / "key")]
    result = run_in_time(lambda: CliRunner().invoke(export_main, arguments))
    assert result.exit_code == 1 and "a pipe, a socket or a device" in result.output
    assert str(tmp_path) not in result.output
