"""Which words of a text a vocabulary knows, and what is text at all."""

import numpy as np
import pytest
from conftest import ROOT

from alta_sdk import PromptError
from alta_sdk.engine.prompt_words import WordCount, describe_unknown, list_texts
from alta_sdk.engine.tokenizer import PromptTokenizer, build_wordpiece, split_vocabulary
from alta_sdk.matching.prompts import build_label_sets, make_pair

DEMO = ROOT / "examples" / "models" / "demo" / "text-model" / "vocab.txt"
LINE_ENDS = ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e"]


@pytest.fixture(scope="module")
def tokenizer():
    return PromptTokenizer(build_wordpiece(split_vocabulary(DEMO.read_text(encoding="utf-8"))), 64)


@pytest.mark.parametrize(
    ("text", "words", "unknown", "unread"),
    [
        ("There is no pleural effusion", 2, 0, 0),
        ("There is 肺炎", 2, 2, 2),
        ("пневмония", 1, 1, 1),
        ("in\ufb01ltration", 1, 1, 1),
        ("pneum\u043enia", 1, 1, 1),  # a Cyrillic letter in it
        ("a" * 101, 1, 1, 1),  # longer than WordPiece reads
        ("asdfgh", 1, 1, 0),
        ("Lungenentzündung", 1, 1, 0),
        ("PNÉUMONIA", 1, 0, 0),
        ("effusions at the lung bases", 3, 0, 0),  # "effusion" and one letter more
        ("3 12 % . pneumonia", 1, 0, 0),
        ("pneumonia?", 2, 1, 1),
        ("→", 1, 1, 1),
        ("raž 3 cm →", 3, 3, 1),
        ("[MASK] edema", 2, 1, 1),
        ("there is no", 0, 0, 0),
    ],
)
def test_words_are_counted(tokenizer, text, words, unknown, unread):
    (read,) = tokenizer.read([text]) if len(text) < 100 else [None]
    assert tokenizer.count([text]) == [WordCount(words, unknown, unread)]
    assert read is None or read.words == WordCount(words, unknown, unread)


def test_built_in_prompts_and_the_demo_labels_are_known(tokenizer):
    own = ["pneumothorax", "pleural effusion", "cardiomegaly", "No Finding", "nodule", "mass"]
    labels = [label for labels in build_label_sets().values() for label in labels.values()]
    prompts = [p for label in (*labels, *map(make_pair, own)) for p in (*label.positive, *label.negative)]
    assert len(prompts) > 480
    assert [prompt for prompt in prompts if tokenizer.count([prompt])[0].unknown] == []


def test_many_texts_are_told_in_one_line():
    counts = [WordCount(10, 0, 0), WordCount(20, 3, 1), WordCount(10, 10, 10)]
    told = "reports: 13 of 40 words are not in the vocabulary (32.5%), in 2 of 3 reports; 1 have no word that is known"
    assert describe_unknown(counts) == [told]
    assert describe_unknown(counts[:1]) == []


@pytest.mark.parametrize("bad", [None, float("nan"), 3, b"edema", np.array(["edema"]), ["edema"], ("a", "b"), "\ud800"])
def test_what_is_not_text_is_refused_by_its_place(tokenizer, bad):
    for refuse in (tokenizer.encode, tokenizer.count, lambda texts: list_texts(texts, "prompts")):
        with pytest.raises(PromptError, match="2 of 2") as refused:
            refuse(["edema", bad])
        assert "edema" not in str(refused.value)


@pytest.mark.parametrize("bad", [None, float("nan"), 3, b"edema", "edema", np.array(["edema"]), np.array(3.0)])
def test_what_is_no_list_of_texts_is_refused(bad):
    with pytest.raises(PromptError, match="must be a list of phrases"):
        list_texts(bad, "prompts")


def test_lists_of_any_kind_are_read():
    for given in (("a", "b"), {"a": 1, "b": 2}, (word for word in "ab"), np.array(["a", "b"]).tolist()):
        assert list_texts(given, "prompts") == ["a", "b"]


@pytest.mark.parametrize("mark", LINE_ENDS)
def test_a_vocabulary_is_split_at_newlines_alone(mark):
    tokens = ["[PAD]", "[UNK]", f"a{mark}b", "", "edema"]
    assert split_vocabulary("\n".join(tokens) + "\n") == tokens
    assert split_vocabulary("\n".join(tokens)) == tokens
