"""Matrix products of FP32 arrays, as they are or with all that they multiply rounded to BF16, which sums in FP32.

The arrays stay FP32, so that softmax, logarithms and sums lose nothing; the products of the local loss are most of
its time. Not torch's own fp32_precision: oneDNN heeds it on processors with AMX alone, and says nothing elsewhere.
"""

import torch
from torch import Tensor

from alta_sdk.errors import TrainingError

FULL, BF16 = "fp32", "bf16"
PRODUCTS = (FULL, BF16)


def multiply(one: Tensor, other: Tensor, products: str, out: Tensor | None = None) -> Tensor:
    """Multiply matrices, or stacks of them; a stack of one as a plain product, which is twice as fast on a CPU."""
    if one.dim() == 3 and len(one) == 1:
        return multiply(one[0], other[0], products, None if out is None else out[0])[None]
    product = torch.mm if one.dim() == 2 else torch.bmm
    if products == FULL:
        return product(one, other, out=out)
    rounded = product(one.bfloat16(), other.bfloat16())
    return rounded.to(one.dtype) if out is None else out.copy_(rounded)


def add_product(total: Tensor, one: Tensor, other: Tensor, scale: float, products: str) -> None:
    """Add a scaled product of matrices to a matrix, in place."""
    if products == FULL:
        total.addmm_(one, other, alpha=scale)
    else:
        total.add_(torch.mm(one.bfloat16(), other.bfloat16()), alpha=scale)


def check_products(products: str, device: torch.device) -> None:
    """Raise TrainingError for BF16 on a processor without it, which would emulate it, slower than FP32."""
    if products == BF16 and device.type == "cpu" and not has_bf16():
        raise TrainingError('this processor has no BF16 products: set objectives.local.products="fp32"')


def has_bf16() -> bool:
    """Tell whether this processor multiplies BF16 by itself."""
    return any(getattr(torch.cpu, name, bool)() for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
