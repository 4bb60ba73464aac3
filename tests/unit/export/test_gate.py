"""The safety gate: what it measures, what it raises, what it refuses."""

import numpy as np
import pytest

from alta_export.answers import Answers, GateInputs
from alta_export.gate import LIMITS, GateDrift, GateLimits, make_labels, measure_gate
from alta_export.graph import find_products
from alta_export.precision import read_precision
from alta_export.radiographs import Radiographs
from alta_export.raising import GraphProbe, lower_precision
from alta_export.ranges import measure_ranges
from alta_export.verify import make_radiographs
from alta_runtimes import load
from alta_sdk.engine.vectors import to_unit_length

COUNT = 8


def unit(seed, rows):
    return to_unit_length(np.random.default_rng(seed).normal(size=(rows, 16)))


def make_inputs(truth=None):
    prompts, labels = make_labels(["Pneumonia", "Edema"])
    assert prompts == ["There is pneumonia", "There is no pneumonia", "There is edema", "There is no edema"]
    pixels = np.zeros((COUNT, 1, 4, 4), np.uint8)
    radiographs = Radiographs(pixels, np.zeros(COUNT, np.int64), truth, "made")
    return GateInputs(radiographs, [], labels, "Pneumonia", logit_scale=10.0)


def test_equal_answers_have_no_drift():
    answers = Answers(unit(1, COUNT), unit(2, 4))
    drift = measure_gate(answers, answers, make_inputs())
    assert drift.image_worst_cosine == pytest.approx(1) and drift.text_worst_cosine == pytest.approx(1)
    assert (drift.max_score_shift, drift.flipped_share, drift.auc_reference) == (0, 0, None)
    assert drift.find_violations(LIMITS["int8"]) == []


def test_figures_are_those_of_the_formula():
    radiographs, prompts = unit(1, COUNT), unit(2, 4)
    turned = radiographs.copy()
    turned[0] = prompts[1]  # now wholly "There is no pneumonia"
    truth = np.arange(COUNT) % 2 == 0
    drift = measure_gate(Answers(radiographs, prompts), Answers(turned, prompts), make_inputs(truth))
    cosine = float(radiographs[0] @ prompts[1])
    assert drift.image_worst_cosine == pytest.approx(cosine, abs=1e-6)
    assert drift.image_mean_cosine == pytest.approx((COUNT - 1 + cosine) / COUNT, abs=1e-6)

    def score(vector, column):
        logits = 10 * (vector @ prompts[2 * column]), 10 * (vector @ prompts[2 * column + 1])
        return 1 / (1 + np.exp(logits[1] - logits[0]))

    shifts = [abs(score(radiographs[0], c) - score(turned[0], c)) for c in (0, 1)]
    flips = sum((score(radiographs[0], c) > 0.5) != (score(turned[0], c) > 0.5) for c in (0, 1))
    assert drift.max_score_shift == pytest.approx(max(shifts), abs=1e-5)
    assert drift.flipped_share == pytest.approx(flips / (2 * COUNT))
    scores = np.array([score(vector, 0) for vector in radiographs])
    pairs = scores[truth][:, None] > scores[~truth][None]
    assert drift.auc_reference == pytest.approx(pairs.mean())


def test_each_limit_is_held():
    good = dict(
        radiographs=9, prompts=9, image_mean_cosine=0.999, image_worst_cosine=0.98, text_mean_cosine=0.999,
        text_worst_cosine=0.98, max_score_shift=0.05, flipped_share=0.01, auc_reference=0.8, auc_engine=0.796,
    )  # fmt: skip
    assert GateDrift(**good).find_violations(LIMITS["int8"]) == []
    for name, value in (
        ("image_mean_cosine", 0.98),
        ("image_worst_cosine", 0.96),
        ("text_mean_cosine", 0.98),
        ("text_worst_cosine", float("nan")),
        ("auc_engine", 0.79),
        ("max_score_shift", 0.051),
        ("max_score_shift", float("nan")),
        ("flipped_share", 0.011),
        ("flipped_share", float("nan")),
    ):
        found = GateDrift(**{**good, name: value}).find_violations(LIMITS["int8"])
        assert len(found) == 1 and "limit" in found[0]


def probe(graph, ranges):
    pixels = make_radiographs(COUNT, 224)

    def embed(session):
        slots = np.zeros(1, np.int64)
        seen = [session.run({"pixels": pixels[i : i + 1], "slot": slots})["cls"] for i in range(COUNT)]
        return {"image": np.concatenate(seen)}

    def open_graph(lowered):
        return load(lowered.SerializeToString(), runtime="onnxruntime")

    return GraphProbe(graph, ranges, open_graph, embed, embed)


@pytest.fixture(scope="module")
def ranges(graph):
    slots = np.zeros(1, np.int64)
    inputs = [{"pixels": make_radiographs(COUNT, 224)[i : i + 1], "slot": slots} for i in range(COUNT)]
    return measure_ranges(graph, inputs, "minmax")


def lower(graph, ranges):
    reference = load(graph.SerializeToString(), runtime="onnxruntime")
    asked = probe(graph, ranges)
    return lower_precision(asked, "int8", reference, asked.embed(reference))


def test_engine_within_the_limits_keeps_every_layer_low(graph, ranges):
    found = lower(graph, ranges)
    assert found.plan.kept == frozenset() and found.sensitivity == {}
    assert found.describe()["achieved"] == {"int8": len(find_products(graph))}


def test_the_layer_that_drifts_is_raised_and_only_as_many_as_needed(graph, ranges):
    spoilt = {**ranges, "blocks.0.fc2": (0.0, 1e-4)}  # its whole input is cut off
    found = lower(graph, spoilt)
    assert "blocks.0.fc2" in found.plan.kept and len(found.plan.kept) <= 2
    assert max(found.sensitivity, key=found.sensitivity.get) == "blocks.0.fc2"
    assert found.sensitivity.keys() == find_products(graph).keys()
    assert read_precision(found.graph)["blocks.0.fc2"] == "fp32"
    assert found.describe()["kept_in_fp32"] == sorted(found.plan.kept)


def test_no_more_than_half_of_the_layers_are_raised(graph, ranges):
    found = lower(graph, dict.fromkeys(ranges, (0.0, 1e-4)))
    assert 0 < len(found.plan.kept) <= len(ranges) // 2


def test_limits_are_those_of_the_issue():
    assert LIMITS["fp16"] == GateLimits(0.999, 0.999, 0.005)
    assert LIMITS["int8"] == GateLimits(0.99, 0.97, 0.005)
    assert all((one.flipped_share, one.score_shift) == (0.01, 0.05) for one in LIMITS.values())
