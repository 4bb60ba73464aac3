"""A short slice of the soak; the whole of it is run by hand: python tests/soak/soak.py NAME.alta."""

import sys

import pytest
from soak.soak import run_soak

from alta_sdk import Matcher


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_many_threads_give_the_same_scores_and_memory_stays(bundle):
    report = run_soak(Matcher(bundle, threads=1, fusion_mode="published"), studies=200, threads=8, distinct=50)
    assert report.studies >= 200
    assert report.differing == 0
    assert report.growth < 0.1  # a slice is mostly warm-up: the whole soak holds 2 %


def test_a_score_that_depends_on_the_moment_is_noticed(bundle, monkeypatch):
    matcher = Matcher(bundle, threads=1)
    calls = iter(range(10_000))
    honest = matcher.engine.head.project

    def drifting(cls):
        return honest(cls) + (0.01 if next(calls) == 50 else 0.0) * honest(cls)[:, ::-1]

    monkeypatch.setattr(type(matcher.engine.head), "project", lambda self, cls: drifting(cls))
    assert run_soak(matcher, studies=80, threads=2, distinct=20).differing >= 1
