"""Tokenizers of all families: their ends, padding and rules come from tokenizer.json, and nothing else does."""

import json

import numpy as np
import pytest
from tokenizers import Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.processors import TemplateProcessing

from alta_sdk import CheckpointError, IntegrityError, PromptError
from alta_sdk.engine import tokenizer as tokenizers
from alta_sdk.engine.prompt_words import WordCount
from alta_sdk.engine.tokenizer import PromptTokenizer, adopt_tokenizer, build_wordpiece, pad_tokens
from alta_sdk.engine.tokenizer_file import Padding, read_tokenizer

BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["edema", "no", "?", ".", "##s"]


def rename(vocabulary, **names):
    """Return a tokenizer.json whose special tokens have other names, and other ids than BERT's."""
    text = build_wordpiece(vocabulary)
    for old, new in names.items():
        text = text.replace(f'"[{old}]"', f'"{new}"')
    return text


def change(json_text, **changes):
    return json.dumps(json.loads(json_text) | changes)


def test_ends_padding_and_case_are_the_files():
    text = rename(["edema", *BERT, *WORDS[1:]], CLS="<s>", SEP="</s>", UNK="<unk>", PAD="<pad>", MASK="<mask>")
    facts = read_tokenizer(text)
    assert (facts.start, facts.end, facts.unknown, facts.lowercase) == ("<s>", "</s>", "<unk>", True)
    tokenizer = PromptTokenizer(text, 16)
    assert tokenizer.encode(["no edemas pneumonia"]) == [[3, 6, 0, 9, 2, 4]]
    assert tokenizer.count(["edema pneumonia"]) == [WordCount(2, 1, 1)]
    assert not read_tokenizer(build_wordpiece([*BERT, *WORDS], lowercase=False)).lowercase


@pytest.mark.parametrize("place", [0, 3])
def test_a_row_is_filled_up_with_the_tokenizers_padding(place):
    vocabulary = [*WORDS[:place], *BERT, *WORDS[place:]]
    assert read_tokenizer(build_wordpiece(vocabulary)).padding == Padding(place)
    fixed = PromptTokenizer(build_wordpiece(vocabulary, length=20), 32)
    assert fixed.padding == Padding(place, 20)
    (ids,) = fixed.encode(["no edema"])
    input_ids, mask = fixed.pad([ids, ids[:2]], rows=3)
    assert input_ids.shape == mask.shape == (3, 20)
    np.testing.assert_array_equal(mask, input_ids != place)
    assert mask.sum(axis=1).tolist() == [4, 2, 0] and fixed.padded_length(ids) == 20
    free = PromptTokenizer(build_wordpiece(vocabulary), 32)
    input_ids, mask = free.pad([ids], rows=2)
    assert input_ids.shape == (2, 16) and set(input_ids[0, 4:]) == {place} and mask.sum() == 4


def test_a_padding_token_in_a_row_of_its_own_length_is_no_padding():
    _, mask = pad_tokens([[2, 0, 3]], rows=1, max_tokens=16)
    assert mask[0, :4].tolist() == [1, 1, 1, 0]
    _, mask = pad_tokens([[2, 0, 3]], 1, 16, Padding(0, 16))
    assert mask[0, :4].tolist() == [1, 0, 1, 0]


def test_final_marks_are_stripped_by_rule():
    text = build_wordpiece([*BERT, *WORDS])
    as_is, stripped = PromptTokenizer(text, 16), PromptTokenizer(text, 16, "strip-final-punctuation")
    assert as_is.encode(["edema?."]) == [[2, 5, 7, 8, 3]]
    assert stripped.encode(["edema?.", "edema ? no!", "no. edema"]) == [[2, 5, 3], [2, 5, 7, 6, 3], [2, 6, 8, 5, 3]]
    assert stripped.cut("no edema.") == "no edema."
    assert as_is.encode(["[MASK] edema"]) == [[2, 4, 5, 3]]  # ALTA's: read, and told as a word that is not known
    for prompt in ("[MASK] edema", "edema [sep]", "[UNK]"):
        with pytest.raises(PromptError, match="prompt 1 of 1 holds a special token"):
            stripped.encode([prompt])


def test_a_folders_own_tokenizer_is_taken_over():
    own = json.loads(build_wordpiece([*BERT, *WORDS]))
    own["truncation"] = {"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0}
    own["padding"] = {
        **{"strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": None},
        **{"pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"},
    }
    own["decoder"] = {"type": "WordPiece", "prefix": "##", "cleanup": True}
    assert adopt_tokenizer(json.dumps(own)) == build_wordpiece([*BERT, *WORDS])
    assert adopt_tokenizer(json.dumps(own), length=12) == build_wordpiece([*BERT, *WORDS], length=12)


FOREIGN = {
    "another model": {"model": {"type": "Unigram", "vocab": []}},
    "no model": {"model": None},
    "a model of no kind": {"model": {"type": ["WordPiece"]}},
    "another normalizer": {"normalizer": {"type": "NFC"}},
    "accents kept": {"normalizer": {**json.loads(build_wordpiece(BERT))["normalizer"], "strip_accents": False}},
    "a regular expression": {
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}
    },
    "no ends": {"post_processor": {"type": "TemplateProcessing", "single": []}},
    "another order": {
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"Sequence": {"id": "A"}}, {"SpecialToken": {"id": "[CLS]"}}, {"SpecialToken": {"id": "[SEP]"}}],
        }
    },
    "an end that is no token": {
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}, {"SpecialToken": {"id": "[SEP]"}}],
        }
    },
    "no special tokens": {"added_tokens": []},
    "another id": {"added_tokens": [{"id": 9, "content": f"{name}", "special": True} for name in BERT]},
    "a word that is special": {"added_tokens": [{"id": 0, "content": "[PAD]", "special": False}]},
    "padding of no length": {"padding": {"strategy": {"Fixed": 0}, "direction": "Right", "pad_id": 0, "pad_token": ""}},
    "padding without end": {
        "padding": {"strategy": {"Fixed": 1 << 40}, "direction": "Right", "pad_id": 0, "pad_token": "[PAD]"}
    },
    "padding on the left": {
        "padding": {"strategy": {"Fixed": 8}, "direction": "Left", "pad_id": 0, "pad_token": "[PAD]"}
    },
    "padding by another token": {
        "padding": {"strategy": {"Fixed": 8}, "direction": "Right", "pad_id": 1, "pad_token": "[PAD]"}
    },
    "padding that is no object": {"padding": 3},
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_no_export_writes_is_refused_on_one_line(name):
    text = change(build_wordpiece([*BERT, *WORDS]), **FOREIGN[name])
    with pytest.raises(IntegrityError, match=r"tokenizer\.json cannot be read .*export the bundle again"):
        PromptTokenizer(text, 16)
    with pytest.raises(CheckpointError, match=r"tokenizer\.json of the text model cannot be used") as refused:
        adopt_tokenizer(text)
    assert "\n" not in str(refused.value)


def test_padding_beyond_the_engines_longest_input_is_refused():
    with pytest.raises(IntegrityError, match="does not fit"):
        PromptTokenizer(build_wordpiece([*BERT, *WORDS], length=20), 16)


LETTERS = "abcdefghijklmnopqrstuvwxyz"
MERGES = [("e", "d"), ("ed", "e"), ("m", "a</w>"), ("ede", "ma</w>")]
START, END = "<|startoftext|>", "<|endoftext|>"


def make_pairs(merges):
    """Stand in for the builder of CLIP's byte pairs: a small one of its kind."""
    letters = [chr(code) for code in range(0x21, 0x180)]
    tokens = ["!", *letters[1:], *(f"{letter}</w>" for letter in letters), *map("".join, merges), START, END]
    ids = {token: number for number, token in enumerate(tokens)}
    made = Tokenizer(BPE(ids, list(merges), end_of_word_suffix="</w>"))
    made.add_special_tokens([START, END])
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.post_processor = TemplateProcessing(
        single=[START, "$A", END], special_tokens=[(name, ids[name]) for name in (START, END)]
    )
    return made


@pytest.fixture
def pairs(monkeypatch):
    kind = tokenizers.TokenizerKind(lambda facts: make_pairs(facts.merges))
    monkeypatch.setitem(tokenizers.KINDS, "BPE", kind)
    made = make_pairs(MERGES)
    made.enable_padding(length=20, pad_id=0, pad_token="!")
    return made.to_str()


def test_byte_pairs_know_every_word_and_tell_what_they_spell(pairs):
    tokenizer = PromptTokenizer(pairs, 20)
    assert tokenizer.padding == Padding(0, 20)
    (ids,) = tokenizer.encode(["edema"])
    assert len(ids) == 3  # start, the word, end
    input_ids, mask = tokenizer.pad([ids], 2)
    assert input_ids.shape == (2, 20) and mask[0].tolist() == [1] * 3 + [0] * 17
    # Nothing is unread, since every byte has a token; a word in single letters is one that was never learned.
    assert tokenizer.count(["edema", "xyz", "肺炎"]) == [WordCount(1, 0, 0), WordCount(1, 1, 0), WordCount(1, 1, 0)]
    for prompt in ("edema <|endoftext|>", "<|STARTOFTEXT|>"):
        with pytest.raises(PromptError, match="holds a special token"):
            tokenizer.encode([prompt])
    with pytest.raises(PromptError, match="has 22 tokens, the engine reads 20"):
        tokenizer.encode(["x" * 20])


def test_merges_are_read_in_both_forms_of_the_library(pairs):
    content = json.loads(pairs)
    as_pairs = read_tokenizer(pairs)
    content["model"]["merges"] = [" ".join(pair) for pair in MERGES]
    assert read_tokenizer(json.dumps(content)) == as_pairs
    assert as_pairs.merges == tuple(MERGES) and as_pairs.unknown is None


@pytest.mark.parametrize(
    "merges", [None, [["a"]], [["a", "b", "c"]], ["ab"], [["a", 1]], [["a", ""]], [["\ud800", "a"]], {"a": "b"}]
)
def test_merges_that_are_none_are_refused(pairs, merges):
    content = json.loads(pairs)
    content["model"]["merges"] = merges
    with pytest.raises(IntegrityError, match=r"tokenizer\.json cannot be read"):
        PromptTokenizer(json.dumps(content), 20)


def test_a_vocabulary_that_its_merges_do_not_make_is_refused(pairs):
    content = json.loads(pairs)
    vocabulary = content["model"]["vocab"]
    vocabulary["ede"], vocabulary["ed"] = vocabulary["ed"], vocabulary["ede"]
    with pytest.raises(IntegrityError, match="does not fit itself"):
        PromptTokenizer(json.dumps(content), 20)


def test_a_kind_that_nothing_builds_is_told(pairs, monkeypatch):
    monkeypatch.delitem(tokenizers.KINDS, "BPE")
    with pytest.raises(IntegrityError, match="of a kind that this version does not build"):
        PromptTokenizer(pairs, 20)
