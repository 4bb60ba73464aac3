"""How fast this machine multiplies large matrices, by precision: the limit of every tower.

The best of what is here: the runtimes' own products, and PyTorch's in FP32, BF16 and INT8 (oneDNN's kernels without a
graph around them: a graph whose ends are FP32 pays for rounding them).
"""

import statistics
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from alta_export.graph import IR_VERSION, OPSET
from alta_runtimes import Session
from alta_sdk.bench.timing import time_in_turn

SIDE = 2048
SEED = 7
OPERATIONS = 2 * SIDE**3

Peak = tuple[float, str]  # 10⁹ operations a second, and whose


def make_product() -> onnx.ModelProto:
    """Make a graph of one large square product."""
    weight = np.random.default_rng(SEED).normal(size=(SIDE, SIDE)).astype(np.float32)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", SIDE]) for name in ("x", "y")]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], "product")],
        "peak",
        ends[:1],
        ends[1:],
        [numpy_helper.from_array(weight, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def make_input() -> np.ndarray:
    """Return what the product is asked: (2048, 2048) float32."""
    return np.random.default_rng(SEED).normal(size=(SIDE, SIDE)).astype(np.float32)


def list_torch_products() -> dict[str, Callable[[], object]]:
    """Return PyTorch's own product of each precision, by name."""
    left, right = torch.from_numpy(make_input()), torch.randn(SIDE, SIDE)
    small = [torch.randint(-127, 128, (SIDE, SIDE), dtype=torch.int8) for _ in range(2)]
    return {
        "fp32/PyTorch": partial(torch.mm, left, right),
        "bf16/PyTorch": partial(torch.mm, left.bfloat16(), right.bfloat16()),
        "int8/PyTorch": partial(torch._int_mm, *small),
    }


def measure_peaks(sessions: Mapping[tuple[str, str], Session], rounds: int) -> dict[str, Peak]:
    """Return, by precision, the best rate in 10⁹ operations a second and whose it is.

    sessions: of `make_product`, by precision and runtime.
    """
    inputs = {"x": make_input()}
    runs: dict[str, Callable[[], object]] = {
        "/".join(key): partial(session.run, inputs) for key, session in sessions.items()
    }
    runs |= list_torch_products()
    peaks: dict[str, Peak] = {}
    for name, times in time_in_turn(runs, rounds).items():
        precision, whose = name.split("/")
        rate = OPERATIONS / statistics.median(times) / 1e9
        peaks[precision] = max(peaks.get(precision, (0.0, "")), (rate, whose))
    return peaks
