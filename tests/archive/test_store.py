"""Studies and archives in an S3-compatible store: the same bits, faults of the store survived or told in one line."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from alta_sdk import EngineError
from alta_sdk.archive.commit import commit_parts
from alta_sdk.archive.object_store import find_endpoint, open_store
from archive.proxy import Proxy
from archive.studies import BUCKET, READABLE, UNREADABLE, embed, read_remote, read_table, run, upload


def assert_same(found, index):
    assert found.keys() == index.keys()
    for key, vector in index.items():
        np.testing.assert_array_equal(found[key], vector)


def test_studies_of_a_store_give_the_same_bits(store, studies, bundle, index, tmp_path):
    source = upload(store, studies, "same")
    told = json.loads(embed(source, tmp_path / "a.lance", bundle, "--any-picture", "--json").stdout)
    assert (told["embedded"], sum(told["unreadable"].values())) == (READABLE, UNREADABLE)
    assert_same(read_table(tmp_path / "a.lance"), index)


def test_an_archive_in_a_store_survives_faults_and_names_no_secret(store, studies, bundle, index, monkeypatch):
    source, out = upload(store, studies, "faulty"), f"s3://{BUCKET}/out/a.lance"
    with Proxy(store, share=0.08) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.address)
        done = embed(source, out, bundle, "--any-picture", "--shard-studies", 30)
        again = json.loads(embed(source, out, bundle, "--any-picture", "--json").stdout)
    assert set(proxy.faults) == {500, 503, "cut", "lost"}, f"{proxy.requests} requests"
    assert "SECRET" not in done.output and "127.0.0.1" not in done.output and "DOE" not in done.output
    monkeypatch.setenv("AWS_ENDPOINT_URL", store)
    assert_same(read_remote(out), index)
    state = json.loads(run("archive", "status", out, "--json").stdout)
    assert (state["studies"], state["bytes"], state["parts_waiting"]) == (READABLE - 1, None, 0)
    assert (again["embedded"], again["already_done"]) == (0, READABLE + UNREADABLE)


@pytest.mark.parametrize("number", range(5))  # two that make the archive at once meet in every second round or so
def test_commits_at_once_in_a_store_leave_each_study_once(number, store):
    from archive.test_upkeep import ORIGIN, write_parts

    out = f"s3://{BUCKET}/at-once-{number}/a.lance"
    vectors = write_parts(out, 40, parts=4)
    with ThreadPoolExecutor(3) as pool:
        for commit in [pool.submit(commit_parts, out, ORIGIN) for _ in range(3)]:
            commit.result()
    commit_parts(out, ORIGIN)
    assert read_remote(out).keys() == vectors.keys()


def test_a_store_that_refuses_is_told_in_one_line(store, studies, bundle, tmp_path, monkeypatch):
    for source, line in (
        (f"s3://nowhere-{BUCKET}/x", "StudyError: bucket of studies not found"),
        (f"s3://{BUCKET}/nothing", "StudyError: folder of studies is empty"),
        ("s3:///x", "EngineError: address names no bucket"),
    ):
        done = embed(source, tmp_path / "a.lance", bundle)
        assert done.output.splitlines()[-1].startswith(line) and "nowhere" not in done.output, done.output
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(EngineError, match="refuses, or is not reached"):
        open_store(f"s3://{BUCKET}/gone").list_top()


def test_http_beyond_this_machine_is_refused(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://store.hospital.example:9000")
    with pytest.raises(EngineError, match="no TLS"):
        find_endpoint()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://store.hospital.example")
    assert find_endpoint().startswith("https")
    with pytest.raises(EngineError, match="no store that is known"):
        open_store("gs://bucket/x")
