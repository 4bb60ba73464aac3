"""A reference of scores: what it keeps, what it refuses, and what it calls moved."""

import json

import numpy as np
import pytest

from alta_sdk import CalibrationError
from alta_sdk.validation.drift import Reference, is_reference, measure_movements, read_reference, render_reference
from alta_sdk.validation.pictures import MEASURES

NAMES = ("score of edema", *MEASURES)


def make_reference(seed):
    rng = np.random.default_rng(seed)
    distributions = {name: np.sort(rng.normal(size=200)) for name in NAMES}
    return Reference("ab" * 32, None, "frontal", 20.0, {"edema": "cd" * 32}, 200, distributions, "2026-11-26")


@pytest.fixture
def reference():
    return make_reference(0)


def draw(count, seed, **shifts):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=count) + shifts.get(name, 0) for name in NAMES}


def test_it_is_read_as_it_was_written(reference, tmp_path):
    path = tmp_path / "reference.json"
    path.write_text(render_reference(reference), encoding="utf-8")
    assert is_reference(path.read_bytes()[:100])
    again = read_reference(path)
    assert render_reference(again) == path.read_text(encoding="utf-8") and again.labels == ["edema"]


def test_what_did_not_move_is_seldom_called_moved_and_what_did_is(reference):
    months = [measure_movements(make_reference(seed), draw(100, 1000 + seed)) for seed in range(100)]
    assert sum(any(one.has_moved for one in month) for month in months) <= 3, "one month in a hundred by chance"
    moved = {one.name: one.has_moved for one in measure_movements(reference, draw(100, 3, brightness=1.0))}
    assert [name for name, has_moved in moved.items() if has_moved] == ["brightness"]


def test_few_studies_have_no_verdict(reference):
    assert {one.has_moved for one in measure_movements(reference, draw(29, 1, brightness=9.0))} == {None}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 2}, "upgrade alta-sdk"),
        ({"distributions": {}}, "damaged"),
        ({"prompts": ["x"]}, "damaged"),
        ({"studies": "many"}, "damaged"),
    ],
)
def test_a_changed_file_is_refused(reference, tmp_path, change, message):
    path = tmp_path / "reference.json"
    path.write_text(json.dumps({**json.loads(render_reference(reference)), **change}, indent=1), encoding="utf-8")
    with pytest.raises(CalibrationError, match=message):
        read_reference(path)


def test_another_file_is_no_reference(tmp_path):
    path = tmp_path / "DOE.json"
    with pytest.raises(CalibrationError, match="cannot be read") as absent:
        read_reference(path)
    path.write_text('{"kind": "thesis"}', encoding="utf-8")
    with pytest.raises(CalibrationError, match="no reference of scores") as other:
        read_reference(path)
    assert "DOE" not in str(absent.value) + str(other.value)
