"""Wherever the tasks run, the table is to the last bit what `alta embed` makes of the same studies."""

import json

import numpy as np
import pytest
from conftest import ROOT

from archive.studies import READABLE, UNREADABLE, embed, read_columns, read_table


def assert_same(out, index):
    found = read_table(out)
    assert found.keys() == index.keys() and len(found) == READABLE - 1, "one study is there twice"
    for key, vector in index.items():
        np.testing.assert_array_equal(found[key], vector)


def test_processes_of_this_machine_give_the_same_bits(archive, index):
    assert_same(archive, index)


def test_what_is_kept_of_a_study_is_what_it_states(archive):
    found = read_columns(archive, "age", "sex", "view", "study_month", "slots", "score_edema", "score_pleural_effusion")
    rows = set(zip(*(found[name] for name in ("age", "sex", "view", "study_month", "slots")), strict=True))
    assert (73, "F", "PA", "2024-06", "frontal") in rows, "the day before a birthday"
    assert (24, "M", "PA", "2024-05", "frontal") in rows
    assert (None, None, "PA", "2024-05", "frontal+lateral") in rows
    assert (None, None, None, None, "frontal") in rows
    assert all(0 < score < 1 for name in ("score_edema", "score_pleural_effusion") for score in found[name])


def compare_cluster(engine, studies, bundle, index, folder):
    """Embed on a cluster that is started here, and compare its table with the index."""
    done = embed(studies, folder / "a.lance", bundle, "--any-picture", "--on", engine, "--json")
    told = json.loads(done.stdout)
    assert (told["embedded"], sum(told["unreadable"].values())) == (READABLE, UNREADABLE)
    assert_same(folder / "a.lance", index)


def test_dask_that_is_started_here_gives_the_same_bits(studies, bundle, index, tmp_path):
    compare_cluster("dask", studies, bundle, index, tmp_path)


def test_processes_that_know_nothing_of_each_other_share_the_work(studies, bundle, index, tmp_path):
    counts = []
    for number in (2, 0, 1):
        share = ["--shard", f"{number}/3", "--shard-studies", 3, "--json"]
        done = embed(studies, tmp_path / "a.lance", bundle, "--any-picture", *share, code=None)
        counts.append(json.loads(done.stdout)["embedded"])
    assert sum(counts) == READABLE and min(counts) > 0
    assert_same(tmp_path / "a.lance", index)


def test_a_run_that_is_started_again_does_nothing(studies, bundle, own_archive):
    before = read_table(own_archive)
    done = embed(studies, own_archive, bundle, "--any-picture", "--labels", "edema, pleural effusion", "--json")
    told = json.loads(done.stdout)
    assert (told["embedded"], told["shards"], told["new_in_archive"]) == (0, 0, 0)
    assert (told["already_done"], sum(told["unreadable"].values())) == (READABLE + UNREADABLE, UNREADABLE)
    assert read_table(own_archive).keys() == before.keys()


def test_what_could_not_be_read_is_tried_again_when_that_is_asked_for(studies, bundle, own_archive):
    more = ["--any-picture", "--labels", "edema, pleural effusion", "--json", "--retry"]
    told = json.loads(embed(studies, own_archive, bundle, *more).stdout)
    assert (told["embedded"], sum(told["unreadable"].values()), told["shards"]) == (0, UNREADABLE, 1)


@pytest.mark.parametrize("name", ["on_local", "on_ray", "on_dask"])
def test_an_adapter_is_small(name):
    assert len((ROOT / "alta_sdk" / "archive" / f"{name}.py").read_text(encoding="utf-8").splitlines()) <= 60
