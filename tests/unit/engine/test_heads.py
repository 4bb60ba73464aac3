"""Heads by kind: what head.npz says is what projects, and nothing in it is code."""

import io

import numpy as np
import pytest

from alta_export.bundle import pack_arrays
from alta_sdk import EngineError, IntegrityError
from alta_sdk.engine.heads import Head, LinearHead, MlpHead, NoHead
from alta_sdk.engine.vectors import require_finite, softmax, to_unit_length

WIDTH, EMBEDDING = 6, 4
generator = np.random.default_rng(16)
VECTORS = generator.standard_normal((3, WIDTH)).astype(np.float32)
WEIGHT, BIAS = generator.standard_normal((EMBEDDING, WIDTH)), generator.standard_normal(EMBEDDING)
HEADS = {
    "linear": LinearHead(WEIGHT),
    "linear with bias": LinearHead(WEIGHT, BIAS),
    "none": NoHead(EMBEDDING),
}


def read(arrays):
    return Head.read(pack_arrays(arrays), "head.npz", EMBEDDING)


@pytest.mark.parametrize("name", HEADS)
def test_a_head_is_read_as_it_was_written(name):
    head = HEADS[name]
    found = read(head.arrays())
    assert type(found) is type(head) and found.kind == head.kind and found.width == head.width
    given = VECTORS[:, : head.width]
    np.testing.assert_array_equal(found.project(given), head.project(given))
    assert found.project(given).dtype == np.float32


def test_a_linear_head_is_one_product():
    expected = VECTORS.astype(np.float64) @ WEIGHT.T
    np.testing.assert_array_equal(HEADS["linear"].project(VECTORS), expected.astype(np.float32))
    np.testing.assert_array_equal(HEADS["linear with bias"].project(VECTORS), (expected + BIAS).astype(np.float32))
    given = VECTORS[:, :EMBEDDING]
    np.testing.assert_array_equal(HEADS["none"].project(given), given)


def test_a_file_without_a_kind_is_altas(matcher):
    head = matcher.engine.head
    assert type(head) is MlpHead and head.kind == matcher.engine.manifest.head == "mlp"
    stored = matcher.engine.bundle.read("head.npz")
    assert pack_arrays(head.arrays()) == stored  # the same bytes as ever
    with np.load(io.BytesIO(stored)) as arrays:
        assert "kind" not in arrays.files
    named = {**head.arrays(), "kind": np.array(b"mlp")}
    assert type(Head.read(pack_arrays(named), "head.npz", head.output_bias.size)) is MlpHead


@pytest.mark.parametrize(
    "arrays",
    [
        {"kind": np.array(b"__import__")},
        {"kind": np.array(b"")},
        {"kind": np.array(b"\xff")},
        {"kind": np.array("linear"), "weight": WEIGHT},
        {"kind": np.array([b"linear", b"none"]), "weight": WEIGHT},
        {"kind": np.array(1)},
        {"kind": np.array(b"linear")},
        {"kind": np.array(b"linear"), "weight": WEIGHT.T},
        {"kind": np.array(b"linear"), "weight": WEIGHT[:, :0]},
        {"kind": np.array(b"linear"), "weight": WEIGHT[0]},
        {"kind": np.array(b"linear"), "weight": np.array(b"x")},
        {"kind": np.array(b"linear"), "weight": WEIGHT, "bias": BIAS[:2]},
        {"kind": np.array(b"linear"), "weight": np.full_like(WEIGHT, np.nan)},
        {"kind": np.array(b"mlp"), "weight": WEIGHT},
        {"weight": WEIGHT},
        {},
    ],
    ids=lambda arrays: ", ".join(f"{name} {array.dtype}{array.shape}" for name, array in arrays.items()),
)
def test_a_forged_head_is_refused(arrays):
    with pytest.raises(IntegrityError, match=r"head\.npz"):
        read(arrays)


def test_a_kind_that_is_pickled_is_refused():
    buffer = io.BytesIO()
    np.savez(buffer, kind=np.array(["linear"], dtype=object), weight=WEIGHT)
    with pytest.raises(IntegrityError, match=r"head\.npz"):
        Head.read(buffer.getvalue(), "head.npz", EMBEDDING)


def test_a_forged_head_of_the_largest_numbers_prints_nothing():
    """Warnings are errors in these tests; what comes of it is refused where it is used."""
    huge = np.full((EMBEDDING, WIDTH), 1e300)
    wide = LinearHead(huge * 1e8).project(VECTORS)
    assert not np.isfinite(to_unit_length(wide)).all()
    with pytest.raises(EngineError, match="not finite"):
        require_finite(softmax(wide.astype(np.float64)), "scores are")
    ones = np.full(WIDTH, 1e300)
    shape = (WIDTH, WIDTH)
    head = MlpHead(np.full(shape, 1e300), ones, ones, ones, np.array(1e-5), huge, ones[:EMBEDDING], np.ones((3, WIDTH)))
    assert not np.isfinite(head.project(VECTORS * 1e38)).all()
