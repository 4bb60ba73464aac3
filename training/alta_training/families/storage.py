"""Products in 8 bits: a quarter of float32 in a file, and exact where the weights were rounded before.

Symmetric, one scale an output channel: weight = whole number × scale. A frozen tower is rounded once, when its
backbone is made, and all that is trained on it knows it so; a file that holds such weights loses nothing.
"""

import json
from collections.abc import Mapping

import torch
from safetensors.torch import save
from torch import Tensor

from alta_sdk.errors import CheckpointError

WEIGHT, SCALE = ".weight", ".weight_scale"
LARGEST = 127
# Of a scale: with the seven of a whole number they fit float32's 24, so that no product is rounded again.
SCALE_BITS = 16


def round_to_int8(weight: Tensor) -> Tensor:
    """Return a weight (out, in) as 8 bits hold it, float32: each output channel on 255 even steps around 0."""
    numbers, scale = _quantise(weight)
    return numbers.float() * scale[:, None]


def round_products(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the weights with every product whose name begins with the prefix rounded to 8 bits."""
    return {
        name: round_to_int8(weight) if name.startswith(prefix) and _is_product(name, weight) else weight
        for name, weight in weights.items()
    }


def pack(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what a file stores: a product that 8 bits hold to the bit as NAME.weight in int8 with NAME.weight_scale.

    All else is passed on as it is.
    """
    packed: dict[str, Tensor] = {}
    for name, weight in weights.items():
        packed[name] = weight
        if _is_product(name, weight) and weight.dtype == torch.float32:
            numbers, scale = _quantise(weight)
            if torch.equal(numbers.float() * scale[:, None], weight):
                packed[name] = numbers
                packed[name.removesuffix(WEIGHT) + SCALE] = scale
    return packed


def unpack(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights as `pack` was given them, in float32.

    Raises CheckpointError for a weight in 8 bits without a scale for each of its output channels.
    """
    weights = dict(stored)
    for name, numbers in stored.items():
        beside = name.removesuffix(WEIGHT) + SCALE
        # A scale decides, not the format: other programs store what they read of such a file in float32.
        if numbers.dtype == torch.int8 or name.endswith(WEIGHT) and beside in stored:
            scale = weights.pop(beside, None)
            if not _is_product(name, numbers) or scale is None or scale.shape != numbers.shape[:1]:
                raise CheckpointError(f"{name} is in 8 bits, and no scale for each of its channels is there")
            weights[name] = numbers.float() * scale.float()[:, None]
    return weights


def _quantise(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return whole numbers (out, in) int8 and scales (out,) float32; a channel of zeros has scale 1."""
    largest = weight.detach().double().abs().amax(1)
    mantissa, exponent = torch.frexp(torch.where(largest > 0, largest / LARGEST, torch.ones_like(largest)))
    scale = torch.ldexp(torch.ceil(mantissa * 2**SCALE_BITS), exponent - SCALE_BITS)  # up: no number is beyond 127
    return (weight.detach().double() / scale[:, None]).round().to(torch.int8), scale.float()


def _is_product(name: str, weight: Tensor) -> bool:
    return name.endswith(WEIGHT) and weight.ndim == 2


def render_safetensors(weights: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """Return a safetensors file: the same bytes for the same content, where the library's order is one of chance."""
    content = save(dict(weights), metadata=dict(metadata))
    length = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:length])
    header["__metadata__"] = dict(sorted(metadata.items()))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[length:]
