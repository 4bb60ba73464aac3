"""Prompts of other families become the tokens of their published code: read from ALTA_SEEDS_DIR, unknown here."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from conftest import SHARED

from alta_sdk.engine.tokenizer import PromptTokenizer, adopt_tokenizer, build_wordpiece, split_vocabulary

SEEDS_DIR = Path(os.environ.get("ALTA_SEEDS_DIR", SHARED / "seeds"))


@pytest.fixture(scope="module")
def seeds():
    """The goldens of one folder of the seeds: facts and arrays, and the folder."""

    def read(name):
        if not SEEDS_DIR.is_dir():
            pytest.skip("shared data absent: ALTA_SEEDS_DIR")
        folder = SEEDS_DIR / name
        facts = json.loads((folder / "golden.json").read_text(encoding="utf-8"))
        with np.load(folder / "golden.npz") as arrays:
            return facts, dict(arrays), folder

    return read


def read_vocabulary(folder):
    (path,) = folder.glob("*/vocab.txt")
    return split_vocabulary(path.read_text(encoding="utf-8"))


def test_biovil_strips_final_marks_and_pads_to_the_longest(seeds):
    facts, golden, folder = seeds("biovil")
    longest = golden["input_ids"].shape[1]
    tokenizer = PromptTokenizer(build_wordpiece(read_vocabulary(folder)), 512, "strip-final-punctuation")
    input_ids, mask = tokenizer.pad(tokenizer.encode(facts["prompts"]), len(facts["prompts"]))
    np.testing.assert_array_equal(input_ids[:, :longest], golden["input_ids"])
    np.testing.assert_array_equal(mask[:, :longest], golden["attention_mask"])
    assert not mask[:, longest:].any() and not input_ids[:, longest:].any()


def test_biomedclip_pads_to_its_context_and_masks_by_the_padding(seeds):
    facts, golden, folder = seeds("clip")
    prompts, expected = facts["biomedclip_prompts"], golden["biomedclip_input_ids"]
    built = build_wordpiece(read_vocabulary(folder), length=expected.shape[1])
    for text in (built, adopt_tokenizer(build_wordpiece(read_vocabulary(folder)), length=expected.shape[1])):
        tokenizer = PromptTokenizer(text, expected.shape[1])
        input_ids, mask = tokenizer.pad(tokenizer.encode(prompts), len(prompts))
        np.testing.assert_array_equal(input_ids, expected)
        np.testing.assert_array_equal(mask, expected != 0)
