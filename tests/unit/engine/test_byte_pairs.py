"""CLIP's tokenizer of a small merges list; token for token against the published one in tests/parity."""

import json

import pytest
from tokenizers import Tokenizer

from alta_sdk import IntegrityError, PromptError
from alta_sdk.engine.byte_pairs import END, START, build_byte_pairs, list_letters, make_byte_pairs, number_tokens
from alta_sdk.engine.prompt_words import WordCount
from alta_sdk.engine.tokenizer import PromptTokenizer

MERGES = [("n", "o</w>"), ("e", "f"), ("f", "u"), ("ef", "fu"), ("effu", "s"), ("'", "s</w>"), ("Ã", "©</w>")]


def tokens(text):
    return make_byte_pairs(MERGES).encode(text).tokens


def test_tokens_are_numbered_as_published():
    ids = number_tokens(MERGES)
    assert [ids[token] for token in ("!", "!</w>", "no</w>", START, END)] == [0, 256, 512, 519, 520]
    assert make_byte_pairs(MERGES).get_vocab() == ids


def test_every_byte_has_a_letter_of_its_own():
    letters = list_letters()
    assert len(set(letters)) == 256 and not any(letter.isspace() for letter in letters)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("No", ["no</w>"]),
        (" NO \n no\t", ["no</w>", "no</w>"]),
        ("effus", ["effu", "s</w>"]),  # the end of a word is another letter
        ("effusa", ["effus", "a</w>"]),
        ("no's", ["no</w>", "'s</w>"]),
        ("no’s", ["no</w>", "'s</w>"]),
        ("3.5", ["3</w>", ".</w>", "5</w>"]),  # words are split before anything is merged
        ("é", ["Ã©</w>"]),
        ("e\u0301", ["Ã©</w>"]),
        ("eﬀusa", ["effus", "a</w>"]),
    ],
)
def test_words_are_cleaned_split_and_merged(text, expected):
    assert tokens(text) == [START, *expected, END]


def test_texts_are_padded_and_cut_to_the_context_with_the_end_kept():
    tokenizer = Tokenizer.from_str(build_byte_pairs(MERGES, 5))
    short, long = (tokenizer.encode(text).ids for text in ("no", "no no no no no"))
    ids = number_tokens(MERGES)
    assert short == [ids[START], ids["no</w>"], ids[END], 0, 0]
    assert long == [ids[START], *[ids["no</w>"]] * 3, ids[END]]


def test_the_json_is_all_that_is_needed():
    text = build_byte_pairs(MERGES, 7)
    assert json.loads(text)["model"]["type"] == "BPE"
    assert Tokenizer.from_str(text).to_str() == text


def test_an_engine_reads_prompts_by_it():
    tokenizer, ids = PromptTokenizer(build_byte_pairs(MERGES, 8), 8), number_tokens(MERGES)
    (encoded,) = tokenizer.encode(["No’s “é”"])
    assert [ids[token] for token in (START, "no</w>", "'s</w>", '"</w>', "Ã©</w>", '"</w>', END)] == encoded
    padded, _ = tokenizer.pad([encoded], rows=2)
    assert padded.tolist() == [[*encoded, 0], [0] * 8]
    assert tokenizer.count(["no effusa"]) == [WordCount(1, 0, 0)]


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        (f"no {END}", "special token"),
        ("no <|STARTOFTEXT|>", "special token"),
        ("naÃ¯ve", "another encoding"),
        ("no " * 7, "has 9 tokens"),
        (" ", "empty"),
    ],
)
def test_an_engine_refuses_prompts_that_it_cannot_read(prompt, words):
    with pytest.raises(PromptError, match=words):
        PromptTokenizer(build_byte_pairs(MERGES, 8), 8).encode(["no", prompt])


def forge(change):
    content = json.loads(build_byte_pairs(MERGES, 8))
    change(content)
    return json.dumps(content)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["model"]["merges"].pop(),
        lambda content: content["model"]["merges"].append(["xx", "y"]),
        lambda content: content["model"]["vocab"].update(b=content["model"]["vocab"]["a"], a=0),
        lambda content: content["post_processor"]["single"].reverse(),
    ],
)
def test_a_forged_file_is_refused(change):
    with pytest.raises(IntegrityError, match="tokenizer.json"):
        PromptTokenizer(forge(change), 8)


@pytest.mark.parametrize(
    ("merges", "words"),
    [([("ab", "c")], "joins what is no token"), ([("a", "b"), ("a", "b")], "makes a token twice")],
)
def test_merges_that_are_none_are_refused(merges, words):
    with pytest.raises(PromptError, match=words):
        number_tokens(merges)
