"""SmoothQuant folding: exact in FP32, and better in INT8 where channels differ much."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from alta_export.precision import PrecisionPlan, apply_precision
from alta_export.ranges import measure_ranges
from alta_export.smooth import (
    choose_smoothing,
    find_factors,
    find_foldable_norms,
    fold_smoothing,
    measure_channel_peaks,
)
from alta_export.verify import make_radiographs
from alta_runtimes import load


@pytest.fixture(scope="module")
def inputs():
    return [{"pixels": image[None], "slot": np.zeros(1, dtype=np.int64)} for image in make_radiographs(6, 224)]


@pytest.fixture(scope="module")
def uneven(graph):
    """The same function with a few channels of each norm a hundred times as large, as trained transformers have."""
    factors = {}
    for number, (name, norm) in enumerate(find_foldable_norms(graph).items()):
        width = next(item.dims[0] for item in graph.graph.initializer if item.name == norm.node.input[1])
        uneven = np.ones(width)
        uneven[np.random.default_rng(number).choice(width, 3, replace=False)] = 0.01
        factors[name] = uneven.tolist()
    return fold_smoothing(graph, factors)


def run(graph, inputs):
    session = load(graph.SerializeToString(), runtime="onnxruntime")
    return np.concatenate([session.run(one)["cls"] for one in inputs])


def int8_error(graph, ranges, reference, inputs):
    lowered = run(apply_precision(graph, PrecisionPlan("int8"), ranges), inputs)
    return float(np.abs(lowered - reference).mean())


def test_norms_that_feed_products_alone_are_found(graph, text_graph):
    # the last block looks at the class token, so its first norm feeds a slice as well
    assert list(find_foldable_norms(graph)) == ["blocks.0.attention.query", "blocks.0.fc1", "blocks.1.fc1"]
    assert list(find_foldable_norms(text_graph)) == ["global_head.dense_to_output", "local_head.dense_to_output"]


def test_folding_is_exact_in_fp32(graph, uneven, inputs):
    norms = find_foldable_norms(uneven)
    smoothed = fold_smoothing(uneven, find_factors(uneven, norms, measure_channel_peaks(uneven, norms, inputs)))
    reference = run(graph, inputs)
    np.testing.assert_allclose(run(uneven, inputs), reference, rtol=0, atol=1e-5)
    np.testing.assert_allclose(run(smoothed, inputs), reference, rtol=0, atol=1e-5)


def test_smoothing_is_chosen_where_channels_differ_and_lowers_the_error(uneven, inputs):
    ranges = measure_ranges(uneven, inputs, "minmax")
    factors, smoothed_ranges = choose_smoothing(uneven, ranges, inputs, "minmax")
    assert factors.keys() == find_foldable_norms(uneven).keys()
    reference = run(uneven, inputs)
    plain = int8_error(uneven, ranges, reference, inputs)
    assert int8_error(fold_smoothing(uneven, factors), smoothed_ranges, reference, inputs) < 0.7 * plain


def test_smoothing_that_does_not_help_is_left_out(graph, inputs, monkeypatch):
    ranges = measure_ranges(graph, inputs, "minmax")
    monkeypatch.setattr("alta_export.smooth.find_factors", lambda *_: {"blocks.0.fc1": np.geomspace(1e-4, 1e4, 32)})
    assert choose_smoothing(graph, ranges, inputs, "minmax") == ({}, ranges)


def test_a_channel_that_is_always_zero_keeps_its_factor(graph, inputs):
    norms = find_foldable_norms(graph)
    silent = onnx.ModelProto()
    silent.CopyFrom(graph)
    for item in silent.graph.initializer:
        if item.name in norms["blocks.0.fc1"].node.input[1:]:
            values = numpy_helper.to_array(item).copy()
            values[4] = 0
            item.CopyFrom(numpy_helper.from_array(values, item.name))
    factors = find_factors(silent, norms, measure_channel_peaks(silent, norms, inputs))
    assert factors["blocks.0.fc1"][4] == 1 and np.isfinite(factors["blocks.0.fc1"]).all()
