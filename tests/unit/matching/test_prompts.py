"""Labels, prompt sets and tokens."""

import pytest
from transformers import BertTokenizer

from alta_sdk import Label, PromptError
from alta_sdk.engine.label_sets import parse_label_sets, render_label_sets
from alta_sdk.engine.tokenizer import PromptTokenizer, build_wordpiece, pad_tokens
from alta_sdk.matching.prompts import (
    build_label_sets,
    clean_report_text,
    make_pair,
    resolve_labels,
)
from alta_training.families.checkpoint import read_text_model

SETS = build_label_sets()


def test_chexpert5_is_the_whole_grid():
    counts = {name: len(label.positive) for name, label in SETS["chexpert5"].items()}
    assert counts == {
        "Atelectasis": 3 * 7 * 10,
        "Cardiomegaly": 15,
        "Consolidation": 4 * 6 * 8,
        "Edema": 6 * 3,
        "Pleural Effusion": 6 * 3 * 3,
    }
    grid = SETS["chexpert5"]
    assert "mild linear atelectasis at the left lower lobe" in grid["Atelectasis"].positive
    assert "small left subpulmonic pleural effusion" in grid["Pleural Effusion"].positive
    assert "pulmonary edema" in grid["Edema"].positive
    assert not any(label.negative for label in grid.values())


def test_rsna_is_the_published_pair():
    assert SETS["rsna"]["pneumonia"] == Label(("There is pneumonia",), ("There is no pneumonia",))


def test_report_text_is_cleaned_by_sentence():
    assert clean_report_text("1. Mild edema, left. Normal. 2. Heart\nis large") == "mild edema left heart is large"


def test_label_sets_survive_the_bundle():
    assert parse_label_sets(render_label_sets(SETS).encode()) == SETS


def test_names_mappings_and_sets_resolve():
    assert resolve_labels(["edema"], SETS) == {"edema": make_pair("edema")}
    assert resolve_labels("rsna", SETS) is SETS["rsna"]
    own = resolve_labels({"a": ["x y"], "b": Label(["z"])}, SETS)
    assert list(own["a"].positive) == ["x y"]


@pytest.mark.parametrize(
    "labels",
    [
        [],
        {},
        "nosuchset",
        [""],
        ["edema", "edema"],
        {"a": []},
        {"only": ["one"]},
        {"a": Label(["x"], ["y"]), "b": Label(["z"])},
    ],
)
def test_labels_that_cannot_be_scored_are_refused(labels):
    with pytest.raises(PromptError):
        resolve_labels(labels, SETS)


def test_tokens_equal_transformers_bert_tokenizer(checkpoint_folder):
    folder = checkpoint_folder / "text-model"
    ours = PromptTokenizer(build_wordpiece(read_text_model(folder).vocabulary), 512)
    theirs = BertTokenizer.from_pretrained(folder)
    prompts = [prompt for label in SETS["chexpert5"].values() for prompt in label.positive]
    prompts += ["Naïve CAFÉ—edema, (left) lung; 3.5 cm [MASK] 肺", "unheard-of word", "A" * 150]
    assert ours.encode(prompts) == theirs(prompts)["input_ids"]


def test_prompts_are_never_cut(checkpoint_folder):
    tokenizer = PromptTokenizer(build_wordpiece(read_text_model(checkpoint_folder / "text-model").vocabulary), 16)
    with pytest.raises(PromptError, match="prompt 2 of 2 has"):
        tokenizer.encode(["edema", "edema " * 20])
    with pytest.raises(PromptError, match="prompt 1 of 1 is empty"):
        tokenizer.encode(["  "])


def test_a_vocabulary_without_special_tokens_is_refused():
    with pytest.raises(PromptError, match=r"\[MASK\]"):
        build_wordpiece(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "edema"])


def test_padding_gives_few_shapes():
    ids, mask = pad_tokens([[2, 5, 3], [2, 3]], rows=8, max_tokens=64)
    assert ids.shape == mask.shape == (8, 16)
    assert mask.sum(axis=1).tolist() == [3, 2, 0, 0, 0, 0, 0, 0]
    assert pad_tokens([[1] * 60], rows=1, max_tokens=62)[0].shape == (1, 62)
