"""Matrix products of FP32 arrays whose inputs are rounded on the way: BF16 on a processor, TF32 on a GPU; sums in FP32.

The arrays stay FP32, so that softmax, logarithms and sums lose nothing; the products of the local loss are most of
its time. Source: PyTorch, "Numerical accuracy", fp32_precision of torch.backends.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from alta_sdk.errors import TrainingError

FULL, BF16 = "fp32", "bf16"
PRODUCTS = (FULL, BF16)


@contextmanager
def round_products(products: str, device: torch.device) -> Iterator[None]:
    """Round the inputs of matrix products in this context, in all threads; "fp32" rounds nothing.

    Raises TrainingError on a processor without BF16, which would compute in FP32 and not say so.
    """
    if products == FULL:
        yield
        return
    on_cpu = device.type == "cpu"
    if on_cpu and not has_bf16():
        raise TrainingError('this processor has no BF16 products: set objectives.local.products="fp32"')
    backend: Any = getattr(torch.backends, "mkldnn" if on_cpu else "cuda").matmul  # of which torch states no types
    before = backend.fp32_precision
    backend.fp32_precision = "bf16" if on_cpu else "tf32"
    try:
        yield
    finally:
        backend.fp32_precision = before


def has_bf16() -> bool:
    """Tell whether this processor multiplies BF16 by itself."""
    return bool(torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported())
