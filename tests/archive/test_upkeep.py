"""Erasing erases, merging keeps an archive small, and a commit that is repeated or doubled changes nothing."""

import json
import os
import threading

import numpy as np
import pytest

from alta_sdk import EngineError, IntegrityError
from alta_sdk.archive import commit, upkeep
from alta_sdk.archive.commit import commit_parts, drop_twins, open_or_make
from alta_sdk.archive.parts import DONE, PART, EmbeddedRow, list_kind, open_parts, write_part
from alta_sdk.archive.probes import build_index
from alta_sdk.archive.schema import ArchiveOrigin, make_schema
from alta_sdk.archive.status import count_bytes, read_status
from alta_sdk.archive.table import Archive
from alta_sdk.archive.upkeep import erase_studies, needs_upkeep, optimize_archive, parse_key
from alta_sdk.engine.vectors import to_unit_length
from archive.studies import read_table

ORIGIN = ArchiveOrigin("engine", "frontal", "published-v1", "", 32)


def make_vectors(count, seed=0):
    return to_unit_length(np.random.default_rng(seed).standard_normal((count, 32)))


def write_parts(archive, count, parts=3, first=0, seed=0):
    """Write finished parts of so many studies in all; return the vectors by key."""
    vectors = make_vectors(count, seed)
    keys = [(first + number).to_bytes(16, "big") for number in range(count)]
    for number in range(parts):
        rows = [EmbeddedRow(keys[n], keys[n], {"vector": vectors[n], "age": 5}) for n in range(number, count, parts)]
        write_part(open_parts(str(archive)), f"{first:08}{number:024}", ORIGIN, rows, [])
    return {key.hex(): vector for key, vector in zip(keys, vectors, strict=True)}


def count_copies(folder, data):
    found = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(place, name), "rb") as file:
                found += file.read().count(data)
    return found


def test_a_commit_that_is_repeated_changes_nothing(tmp_path):
    out = tmp_path / "a.lance"
    vectors = write_parts(out, 30)
    kept = {path.name: path.read_bytes() for path in (tmp_path / "a.lance.parts").iterdir()}
    assert commit_parts(str(out), ORIGIN) == 30
    store = open_parts(str(out))
    assert list_kind(store, PART) == [] and len(list_kind(store, DONE)) == 3
    for name, data in kept.items():  # as if the process had been killed right after Lance's commit
        (tmp_path / "a.lance.parts" / name).write_bytes(data)
    assert commit_parts(str(out), ORIGIN) == 0
    found = read_table(out)
    assert found.keys() == vectors.keys()
    assert all(np.array_equal(found[key], vector) for key, vector in vectors.items())


def test_two_commits_at_once_bring_each_study_in_once(tmp_path):
    out = tmp_path / "a.lance"
    vectors = write_parts(out, 60, parts=6)
    new = []
    threads = [threading.Thread(target=lambda: new.append(commit_parts(str(out), ORIGIN))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(new) == [0, 0, 60] and read_table(out).keys() == vectors.keys()


def test_what_another_made_at_this_moment_is_not_written_over(tmp_path):
    out = tmp_path / "a.lance"
    write_parts(out, 10)
    commit_parts(str(out), ORIGIN)
    assert commit._make(str(out), ORIGIN).count_rows() == 10 and len(read_table(out)) == 10
    with pytest.raises(EngineError, match="another engine"):
        commit._make(str(out), ArchiveOrigin(**{**vars(ORIGIN), "engine": "other"}))
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError):
        commit._make(str(tmp_path / "file" / "a.lance"), ORIGIN)


def test_twins_of_two_commits_without_a_lock_are_dropped(tmp_path, monkeypatch):
    out = tmp_path / "a.lance"
    vectors = write_parts(out, 20)
    kept = {path: path.read_bytes() for path in (tmp_path / "a.lance.parts").iterdir()}
    commit_parts(str(out), ORIGIN)
    table = open_or_make(str(out), ORIGIN)
    table.insert(table.to_table().slice(0, 7))  # what another, of the same moment, brought in
    assert table.count_rows() == 27 and drop_twins(table) == 7
    assert read_table(out).keys() == vectors.keys() and kept


@pytest.mark.parametrize("is_indexed", [False, True])
def test_the_bytes_of_an_erased_study_are_in_no_file(tmp_path, monkeypatch, is_indexed):
    if is_indexed:
        monkeypatch.setattr("alta_sdk.archive.probes.MIN_ROWS", 100)
    out = tmp_path / "a.lance"
    vectors = write_parts(out, 400)
    commit_parts(str(out), ORIGIN)
    optimize_archive(str(out))
    assert bool(Archive(str(out)).table.describe_indices()) is is_indexed
    key = list(vectors)[17]
    data = vectors[key].tobytes()
    write_parts(out, 400, first=0)  # and again as parts that wait
    (tmp_path / "a.lance.parts" / ".x.parquet.0123456789ab.tmp").write_bytes(data)
    assert count_copies(tmp_path, data) > 1
    assert erase_studies(str(out), [bytes.fromhex(key)]) == 1
    assert count_copies(tmp_path, data) == 0
    found = read_table(out)
    assert found.keys() == vectors.keys() - {key}
    assert all(np.array_equal(found[one], vectors[one]) for one in found)
    assert commit_parts(str(out), ORIGIN) == 0, "it never comes in again"
    assert key not in read_table(out) and read_status(str(out))["erased"] == 1
    assert erase_studies(str(out), [bytes.fromhex(key)]) == 0


def test_a_copy_that_is_left_is_told(tmp_path, monkeypatch):
    out = tmp_path / "a.lance"
    write_parts(out, 40)
    commit_parts(str(out), ORIGIN)
    monkeypatch.setattr(upkeep, "clean", lambda table: None)
    with pytest.raises(IntegrityError, match="still on the disk"):
        erase_studies(str(out), [(3).to_bytes(16, "big")])


def test_many_small_commits_are_merged(tmp_path, monkeypatch):
    monkeypatch.setattr("alta_sdk.archive.probes.MIN_ROWS", 100)
    out, fresh = tmp_path / "a.lance", tmp_path / "fresh.lance"
    for number in range(12):
        write_parts(out, 100, parts=1, first=1000 * number, seed=number)
        commit_parts(str(out), ORIGIN)
    before = count_bytes(out)
    monkeypatch.setattr(upkeep, "MAX_FRAGMENTS", 10)
    assert needs_upkeep(Archive(str(out)).table)
    optimize_archive(str(out))
    state = read_status(str(out))
    assert (state["studies"], state["fragments"], state["versions"]) == (1200, 1, 1)
    import lance

    build_index(lance.write_dataset(Archive(str(out)).table.to_table(), str(fresh)))
    assert count_bytes(out) <= 1.2 * count_bytes(fresh) and count_bytes(out) < before + count_bytes(fresh)


def test_an_archive_of_another_origin_is_refused_and_told_by_what_differs(tmp_path):
    out = str(tmp_path / "a.lance")
    open_or_make(out, ORIGIN)
    for change, word in (
        ({"engine": "other"}, "engine"),
        ({"mode": "present"}, "fusion mode"),
        ({"labels": ("edema",)}, "labels"),
        ({"site_key": "f"}, "site key"),
        ({"has_dates": True}, "dates"),
    ):
        with pytest.raises(EngineError, match=f"another .*{word}"):
            open_or_make(out, ArchiveOrigin(**{**vars(ORIGIN), **change}))


def test_a_newer_archive_and_what_is_none_are_refused(tmp_path):
    import lance
    import pyarrow as pa

    text = json.dumps({**json.loads(ORIGIN.render()), "version": 2}).encode()
    lance.write_dataset(make_schema(ORIGIN).with_metadata({b"alta_archive": text}).empty_table(), tmp_path / "n.lance")
    with pytest.raises(EngineError, match="newer version"):
        Archive(str(tmp_path / "n.lance"))
    lance.write_dataset(pa.table({"a": [1]}), tmp_path / "o.lance")
    with pytest.raises(IntegrityError, match="no archive of alta"):
        Archive(str(tmp_path / "o.lance"))
    with pytest.raises(EngineError, match="not found"):
        Archive(str(tmp_path / "nowhere.lance"))
    (tmp_path / "file.lance").write_bytes(b"not a table")
    with pytest.raises(EngineError):
        Archive(str(tmp_path / "file.lance"))


def test_a_damaged_part_is_told_and_stays(tmp_path):
    out = tmp_path / "a.lance"
    write_parts(out, 10, parts=1)
    (path,) = (tmp_path / "a.lance.parts").iterdir()
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(EngineError, match="damaged"):
        commit_parts(str(out), ORIGIN)
    assert path.exists()


def test_a_full_disk_keeps_the_parts(tmp_path, monkeypatch):
    out = tmp_path / "a.lance"
    write_parts(out, 10)
    real = commit.open_or_make

    def fail(*arguments):
        table = real(*arguments)
        monkeypatch.setattr(type(table), "insert", lambda *_: (_ for _ in ()).throw(OSError(28, "full: DOE")))
        return table

    monkeypatch.setattr(commit, "open_or_make", fail)
    with pytest.raises(EngineError, match="No space left on device") as caught:
        commit_parts(str(out), ORIGIN)
    assert "DOE" not in str(caught.value) and len(list_kind(open_parts(str(out)), PART)) == 3
    monkeypatch.undo()
    assert commit_parts(str(out), ORIGIN) == 10


@pytest.mark.parametrize("text", ["", "zz" * 16, "0a" * 15, "0a" * 17])
def test_a_key_that_is_none_is_refused(text):
    with pytest.raises(EngineError, match="32 hexadecimal"):
        parse_key(text)
