"""The index: its file, its search, and what it refuses."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from alta_sdk import EngineError, IntegrityError, Matcher, ReportIndex, StudyEmbedding
from alta_sdk.engine.vectors import to_unit_length
from alta_sdk.index.file import read_arrays
from alta_sdk.index.search import IndexOrigin

STUDIES = IndexOrigin("studies", "engine", "frontal")


def make_vectors(count, seed=0, clusters=40):
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((clusters, 32))
    return to_unit_length(centres[rng.integers(0, clusters, count)] + 0.5 * rng.standard_normal((count, 32)))


def make_keys(count):
    return [number.to_bytes(16, "big") for number in range(count)]


@pytest.fixture
def index(tmp_path):
    return ReportIndex.write(tmp_path / "a.index", make_vectors(500), make_keys(500), STUDIES)


def test_search_gives_the_exact_order(index):
    vectors = make_vectors(500)
    query = make_vectors(1, seed=1)[0]
    expected = np.argsort(-(vectors @ query), kind="stable")[:7]
    found = index.search(StudyEmbedding(query, "frontal", "engine"), 7)
    assert [match.row for match in found] == expected.tolist()
    assert [match.key for match in found] == [index.keys[row] for row in expected]
    np.testing.assert_allclose([match.score for match in found], vectors[expected] @ query, atol=1e-6)


def test_more_than_there_are_gives_all(index):
    assert len(index.search_vector(make_vectors(1)[0], 1000)) == len(index) == 500


def test_another_mode_or_engine_is_refused(index):
    vector = make_vectors(1)[0]
    with pytest.raises(EngineError, match="another engine"):
        index.search(StudyEmbedding(vector, "frontal", "other"))
    with pytest.raises(EngineError, match="another fusion mode"):
        index.search(StudyEmbedding(vector, "present", "engine"))


def test_reports_answer_every_mode(tmp_path):
    index = ReportIndex.write(tmp_path / "r.index", make_vectors(5), make_keys(5), IndexOrigin("reports", "engine"))
    assert index.search(StudyEmbedding(make_vectors(5)[3], "present", "engine"), 1)[0].row == 3


def test_text_finds_studies_of_the_same_engine(tmp_path, matcher):
    phrases = ["there is edema", "the lungs are clear", "there is pneumonia"]
    origin = IndexOrigin("studies", matcher.engine.manifest.sha256, matcher.fusion_mode)
    index = ReportIndex.write(tmp_path / "t.index", matcher.embed_text(phrases), make_keys(3), origin)
    assert index.search_text(phrases[1], matcher, 1)[0].row == 1
    with pytest.raises(EngineError, match="another fusion mode"):
        index.search_text(phrases[1], Matcher(matcher.engine, fusion_mode="present"))


@pytest.mark.parametrize("place", ["mark", "header", "vectors", "end"])
def test_every_flipped_byte_is_found(index, place):
    data = bytearray(index.path.read_bytes())
    data[{"mark": 13, "header": 60, "vectors": len(data) // 2, "end": -1}[place]] ^= 1
    index.path.write_bytes(data)
    with pytest.raises(IntegrityError):
        ReportIndex.open(index.path)


@pytest.mark.parametrize("kept", [0, 10, 47, 300, 5_000, -1])
def test_a_file_cut_short_is_found_without_reading_it_all(index, kept):
    index.path.write_bytes(index.path.read_bytes()[:kept])
    with pytest.raises(IntegrityError):
        ReportIndex.open(index.path, verify=False)


def test_a_longer_file_and_no_file_are_refused(index, tmp_path):
    index.path.write_bytes(index.path.read_bytes() + b"\0")
    with pytest.raises(IntegrityError, match="bytes"):
        ReportIndex.open(index.path)
    with pytest.raises(EngineError, match="not found"):
        ReportIndex.open(tmp_path / "none.index")


def test_the_same_entries_give_the_same_bytes(index, tmp_path):
    again = ReportIndex.write(tmp_path / "b.index", make_vectors(500), make_keys(500), STUDIES)
    assert again.path.read_bytes() == index.path.read_bytes()


def test_it_is_read_only_and_what_was_verified(index):
    with pytest.raises(ValueError, match="read-only"):
        index.vectors[0, 0] = 1
    query, before = make_vectors(1)[0], index.vectors.copy()
    found = index.search_vector(query)
    size = index.path.stat().st_size
    with index.path.open("rb+") as file:  # as a copy over the network does it
        file.write(b"\xff" * size)
    np.testing.assert_array_equal(index.vectors, before)
    assert index.search_vector(query) == found


@pytest.mark.parametrize("kept", [0, 100, 5_000])
def test_an_index_cut_short_while_it_is_open_does_not_end_the_process(index, kept):
    code = (
        "import os, sys, numpy as np; from alta_sdk import ReportIndex\n"
        "index = ReportIndex.open(sys.argv[1]); before = index.search_vector(index.vectors[7])\n"
        "os.truncate(sys.argv[1], int(sys.argv[2]))\n"
        "assert index.search_vector(index.vectors[7], exact=True) == before and before[0].row == 7\n"
        "assert len(index.keys) == len(index.vectors_by_row()) == 500\n"
    )
    done = subprocess.run([sys.executable, "-c", code, index.path, str(kept)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr  # -7 was SIGBUS
    with pytest.raises(IntegrityError):
        ReportIndex.open(index.path)


@pytest.mark.skipif(os.name == "nt", reason="FIFOs are POSIX")
def test_a_fifo_is_no_index_and_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.index")
    with pytest.raises(EngineError, match="cannot be read"):
        ReportIndex.open(tmp_path / "pipe.index")
    with pytest.raises(EngineError, match="cannot be written"):
        ReportIndex.write(tmp_path / "pipe.index", make_vectors(3), make_keys(3), STUDIES)


def test_a_file_that_is_no_index_is_not_replaced_by_one(tmp_path):
    (tmp_path / "thesis.index").write_bytes(b"ALTA is a thesis")
    with pytest.raises(EngineError, match="replaces only what it wrote"):
        ReportIndex.write(tmp_path / "thesis.index", make_vectors(3), make_keys(3), STUDIES)
    assert (tmp_path / "thesis.index").read_bytes() == b"ALTA is a thesis"


def test_what_is_not_an_index_of_unit_vectors_is_refused(tmp_path):
    path = tmp_path / "c.index"
    for vectors, keys in [
        (np.ones((2, 4)), make_keys(2)),
        (np.full((2, 4), np.nan), make_keys(2)),
        (np.zeros((0, 4)), []),
        (make_vectors(3), make_keys(2)),
        (make_vectors(1), [b"short"]),
    ]:
        with pytest.raises(EngineError):
            ReportIndex.write(path, vectors, keys, STUDIES)
    assert not path.exists()
    for wrong in (("studies", "e", None), ("reports", "e", "frontal"), ("texts", "e"), ("studies", "e", "mean")):
        with pytest.raises(EngineError):
            IndexOrigin(*wrong)


def test_every_search_is_exact_and_rows_are_those_of_the_caller(tmp_path):
    vectors = make_vectors(20_000)
    index = ReportIndex.write(tmp_path / "d.index", vectors, make_keys(20_000), STUDIES)
    for row in (0, 777, 19_999):
        match = index.search_vector(vectors[row], 1)[0]
        assert (match.row, match.key) == (row, make_keys(20_000)[row].hex())
    for query in make_vectors(20, seed=4):
        found = index.search_vector(query)
        assert found == index.search_vector(query, exact=True)
        assert [match.row for match in found] == np.argsort(-(vectors @ query), kind="stable")[:10].tolist()


def test_another_program_reads_the_file_as_safetensors(index):
    from safetensors import safe_open
    from safetensors.numpy import load_file

    arrays = load_file(index.path)
    np.testing.assert_array_equal(arrays["vectors"], index.vectors)
    assert [key.tobytes().hex() for key in arrays["keys"]] == index.keys
    with safe_open(index.path, "numpy") as file:
        told = file.metadata()
    assert (told["alta"], told["version"], json.loads(told["meta"])["origin"]["mode"]) == ("index", "2", "frontal")


def test_safetensors_of_others_and_indexes_of_older_versions_are_refused_with_the_way_out(tmp_path):
    from safetensors.numpy import save_file

    save_file({"vectors": make_vectors(3), "keys": np.zeros((3, 16), dtype=np.uint8)}, tmp_path / "other.index")
    with pytest.raises(IntegrityError, match="not an index of alta"):
        ReportIndex.open(tmp_path / "other.index")
    with pytest.raises(EngineError, match="replaces only what it wrote"):
        ReportIndex.write(tmp_path / "other.index", make_vectors(3), make_keys(3), STUDIES)
    (tmp_path / "old.index").write_bytes(b"ALTAIDX\x01" + bytes(400))
    with pytest.raises(EngineError, match="older alta-sdk: remove it, and make it anew with `alta embed"):
        ReportIndex.open(tmp_path / "old.index")
    ReportIndex.write(tmp_path / "old.index", make_vectors(3), make_keys(3), STUDIES)
    assert len(ReportIndex.open(tmp_path / "old.index")) == 3


def seal(header):
    """Return a header as somebody seals it who knows how."""
    import hashlib

    told = header["__metadata__"]
    given = told["header_sha256"]
    text = json.dumps(header, separators=(",", ":")).encode()
    digest = hashlib.sha256(text.replace(given.encode(), b"0" * 64, 1)).hexdigest()
    return text.replace(given.encode(), digest.encode(), 1)


def test_a_hostile_header_is_refused(index):
    import struct

    data = index.path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    for change in (
        {"data_offsets": [-64, 63_936]},
        {"data_offsets": [10**12, 10**12 + 64_000]},
        {"data_offsets": [0, 64_001]},
        {"data_offsets": [0]},
        {"data_offsets": [0.0, 64_000.0]},
        {"data_offsets": "all"},
        {"shape": [-1, 32]},
        {"shape": [1 << 40, 1 << 40]},
        {"shape": [500, 31]},
        {"dtype": "O8"},
        {"dtype": ["F32"]},
        {"shape": "all"},
    ):
        text = seal({**header, "vectors": {**header["vectors"], **change}})
        index.path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
        with pytest.raises(EngineError):
            read_arrays(index.path, verify=False)
    for told in ({"version": "3"}, {"version": "x"}, {"meta": "["}, {"meta": "[]"}):
        text = seal({"__metadata__": {**header["__metadata__"], **told}, **{k: header[k] for k in ("vectors", "keys")}})
        index.path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
        why = "newer" if told == {"version": "3"} else "damaged|another kind"
        with pytest.raises(EngineError, match=why):
            ReportIndex.open(index.path, verify=False)
    index.path.write_bytes(struct.pack("<Q", 1 << 40) + data[8:])
    with pytest.raises(IntegrityError):
        ReportIndex.open(index.path)
