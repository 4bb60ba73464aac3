"""CLIP's merges file is found, read within bounds, and refused if it is another file."""

import gzip
import json

import pytest
from fakes.clip import MERGES, write_merges

from alta_sdk import CheckpointError
from alta_sdk.engine.byte_pairs import number_tokens
from alta_training.families import clip_merges
from alta_training.families.clip_merges import NAME, make_clip_tokenizer

VOCABULARY, CONTEXT = len(number_tokens(MERGES)), 16


def make(tokenizer=None, folder=None, vocabulary=VOCABULARY):
    return json.loads(make_clip_tokenizer(tokenizer, folder, vocabulary, CONTEXT))


def test_the_file_is_found_in_the_folder_or_given(tmp_path):
    path = write_merges(tmp_path)
    given = path.rename(tmp_path / "other.txt.gz")
    in_folder = make(folder=write_merges(tmp_path).parent)
    assert in_folder == make(given, None)
    assert in_folder["model"]["vocab"] == number_tokens(MERGES)
    assert in_folder["padding"]["strategy"] == {"Fixed": CONTEXT} and in_folder["truncation"]["max_length"] == CONTEXT


def test_an_unpacked_file_is_the_same(tmp_path):
    packed = write_merges(tmp_path)
    plain = tmp_path / "bpe.txt"
    plain.write_bytes(gzip.decompress(packed.read_bytes()))
    assert make(plain) == make(packed)


def test_the_vocabulary_says_how_many_merges_count(tmp_path):
    path = write_merges(tmp_path)
    assert make(path, vocabulary=VOCABULARY - 1)["model"]["vocab"] == number_tokens(MERGES[:-1])
    with pytest.raises(CheckpointError, match=f"holds {len(MERGES)} merges, the checkpoint has a vocabulary of"):
        make(path, vocabulary=VOCABULARY + 1)


def test_a_missing_file_is_told_by_its_published_name(tmp_path):
    with pytest.raises(CheckpointError, match=f"{NAME} not found.*--tokenizer"):
        make(folder=tmp_path)
    with pytest.raises(CheckpointError, match=f"{NAME} not found"):
        make()


def test_a_file_that_unpacks_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(clip_merges, "MAX_BYTES", 1 << 20)
    with gzip.open(tmp_path / NAME, "wb") as file:
        file.write(b"a b\n" * (1 << 19))
    with pytest.raises(CheckpointError, match="more than 1 MiB"):
        make(folder=tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (gzip.compress(b"first\n" + b"a b\n" * 9, mtime=0)[:-20], "damaged"),
        (b"\x1f\x8bno gzip", "damaged"),
        (b"\xff\xfe\x00", "damaged"),
        (b"first\na b c\n", "two tokens"),
        (b"first\na  b\n", "two tokens"),
        (b"", "two tokens"),
        (b"first\nxx y\n", "joins what is no token"),
    ],
)
def test_another_file_is_refused(tmp_path, content, words):
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(CheckpointError, match=words):
        make(folder=tmp_path, vocabulary=515)
