"""What goes wrong around a run is told in one line and ends with 1; finished parts stay, and the next run goes on."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from alta_sdk.archive import drive
from alta_sdk.archive.commit import open_or_make
from alta_sdk.archive.parts import DONE, PART, list_kind, open_parts
from alta_sdk.archive.schema import make_schema
from alta_sdk.archive.table import Archive
from archive.crashing import embed_until_the_disk_is_full
from archive.proxy import Proxy
from archive.studies import BUCKET, READABLE, UNREADABLE, embed, read_remote, read_table, run, upload

MORE = ("--any-picture", "--shard-studies", 3)


def find_refusal(result):
    """Return the one line of an error; nothing else is told but the engine's notices."""
    *others, line = result.output.splitlines()
    assert result.exit_code == 1 and "Traceback" not in result.output, result.output
    assert others == ["RANDOM TEST MODEL", "Not for clinical use."] and line.startswith("EngineError: "), result.output
    assert not any(secret in line for secret in ("SECRET", "DOE", "127.0.0.1", BUCKET)), line
    return line


def assert_same(found, index):
    assert found.keys() == index.keys()
    for key, vector in index.items():
        np.testing.assert_array_equal(found[key], vector)


@pytest.mark.parametrize(("place", "share"), [("disk", 0.8), ("store", 0.5)])
def test_credentials_that_expire_in_the_middle_keep_what_is_finished(
    place, share, store, studies, bundle, index, tmp_path, monkeypatch
):
    source = upload(store, studies, f"expiring-{place}")
    whole, out = (
        (f"s3://{BUCKET}/expiring-{place}-{name}.lance" if place == "store" else str(tmp_path / f"{name}.lance"))
        for name in ("whole", "a")
    )
    with Proxy(store) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.address)
        embed(source, whole, bundle, *MORE)
    with Proxy(store, good_requests=int(share * proxy.requests)) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.address)
        assert "credentials have expired" in find_refusal(embed(source, out, bundle, *MORE))
        assert "credentials have expired" in find_refusal(embed(source, out, bundle, *MORE)), "and again"
    monkeypatch.setenv("AWS_ENDPOINT_URL", store)
    kept = list_kind(open_parts(out), PART)
    assert kept and list_kind(open_parts(out), DONE) == []
    told = json.loads(embed(source, out, bundle, *MORE, "--json").stdout)
    assert told["already_done"] > 0 and told["already_done"] + told["embedded"] >= READABLE
    assert told["new_in_archive"] == READABLE - 1 and sum(told["unreadable"].values()) == UNREADABLE
    assert set(kept) <= set(list_kind(open_parts(out), DONE)), "parts of the first run are those that are committed"
    assert_same(read_remote(out) if place == "store" else read_table(out), index)


def test_a_bucket_that_is_missing_takes_no_archive(store, studies, bundle):
    assert "no such bucket" in find_refusal(embed(studies, "s3://nowhere/a.lance", bundle, "--any-picture"))
    assert "not found" in run("archive", "status", "s3://nowhere/a.lance").output


def test_a_disk_that_is_full_in_a_worker_keeps_what_is_finished(studies, bundle, index, tmp_path, monkeypatch):
    out = tmp_path / "a.lance"
    with monkeypatch.context() as patch:
        patch.setattr(drive, "embed_shard", embed_until_the_disk_is_full)
        line = find_refusal(embed(studies, out, bundle, *MORE, "--workers", 1))
    assert "No space left on device" in line
    kept = list_kind(open_parts(str(out)), PART)
    assert len(kept) == 3 and not list((tmp_path / "a.lance.parts").glob(".*")), "nothing half-written lies there"
    told = json.loads(embed(studies, out, bundle, *MORE, "--json").stdout)
    assert told["already_done"] >= 3 and told["new_in_archive"] == READABLE - 1
    assert_same(read_table(out), index)


def test_two_runs_at_once_bring_each_study_in_once(studies, bundle, index, tmp_path):
    out = tmp_path / "a.lance"
    command = [
        sys.executable,
        "-c",
        "from alta_sdk.cli import main; main()",
        "embed",
        studies,
        "--engine",
        bundle,
        "--out",
        out,
        *MORE,
    ]
    command = [*map(str, command), "--workers", "2", "--json"]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    told = []
    for one in runs:
        output, errors = one.communicate()
        assert one.returncode == 1 and "StudyError: 4 of 21" in errors, errors
        told.append(json.loads(output))
    assert sum(one["new_in_archive"] for one in told) == READABLE - 1
    assert_same(read_table(out), index)
    store = open_parts(str(out))
    assert list_kind(store, PART) == [] and len(list_kind(store, DONE)) == max(one["shards"] for one in told)


@pytest.fixture
def foreign(archive, bundle, tmp_path):
    """Return a function that makes an archive of another origin, and one that calls every command on it."""
    origin = Archive(str(archive)).origin

    def make(name, **changes):
        open_or_make(str(tmp_path / name), replace(origin, **changes))
        return tmp_path / name

    return make


def list_calls(out, studies, bundle, tmp_path):
    engine = ["--engine", bundle]
    return {
        "embed": ["embed", studies, *engine, "--out", out, "--any-picture", "--labels", "edema, pleural effusion"],
        "rank": ["rank", studies / "p01.png", *engine, "--index", out, "--any-picture"],
        "search": ["archive", "search", out, *engine, "--text", "edema"],
        "status": ["archive", "status", out],
        "optimize": ["archive", "optimize", out],
        "erase": ["archive", "erase", out, "--key", "0a" * 16],
        "export": ["archive", "export", out, "--out", tmp_path / "a.parquet"],
        "duplicates": ["archive", "duplicates", out],
        "outliers": ["archive", "outliers", out],
    }


def test_an_archive_of_another_engine_is_refused(foreign, studies, bundle, tmp_path):
    calls = list_calls(foreign("other.lance", engine="0" * 64), studies, bundle, tmp_path)
    for name in ("embed", "rank", "search"):
        done = run(*calls[name])
        assert done.exit_code == 1 and "another engine" in done.output.splitlines()[-1], done.output


def test_an_archive_of_a_newer_version_is_refused_by_every_command(archive, studies, bundle, tmp_path):
    import lance

    origin = Archive(str(archive)).origin
    newer = json.dumps({**json.loads(origin.render()), "version": 2, "more": [1]}).encode()
    lance.write_dataset(make_schema(origin).with_metadata({b"alta_archive": newer}).empty_table(), tmp_path / "n.lance")
    before = sorted(path.name for path in (tmp_path / "n.lance").rglob("*"))
    for call in list_calls(tmp_path / "n.lance", studies, bundle, tmp_path).values():
        done = run(*call)
        assert done.exit_code == 1, done.output
        assert done.output.splitlines()[-1].startswith("EngineError: archive is of a newer version"), done.output
    assert sorted(path.name for path in (tmp_path / "n.lance").rglob("*")) == before


@pytest.mark.parametrize(
    "text",
    [
        "age >=",
        "weight > 1",
        "age > 1; delete from x",
        "age > 1 or 1 = 1",
        "view = '' or key is not null --",
        "",
        "age",
    ],
)
def test_a_filter_that_is_none_is_refused_by_every_command_that_takes_one(text, archive, studies, bundle, tmp_path):
    calls = list_calls(archive, studies, bundle, tmp_path)
    before = read_table(archive).keys()
    for name in ("rank", "search", "export"):
        done = run(*calls[name], "--where", text)
        assert done.exit_code == 1 and done.output.splitlines()[-1].startswith("EngineError: "), done.output
    assert read_table(archive).keys() == before and not (tmp_path / "a.parquet").exists()
