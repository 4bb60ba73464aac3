"""The shapes of what slides over an image or shrinks an axis: convolutions, pooling, means, the place of a maximum.

Rules as `graph_shapes.py` has them.
"""

from collections.abc import Sequence

from .graph_tensors import Attributes, Inputs, Tensor, need, read_values


def slide_kernels(attributes: Attributes, inputs: Inputs) -> list[Tensor]:
    """Slide a convolution's kernels, the second input, over the first."""
    data, weight = need(inputs, 0).shape, need(inputs, 1).shape
    if data[1] != weight[1] * attributes.get("group", 1):
        raise ValueError("a kernel of other channels")
    return [Tensor((data[0], weight[0], *_slide(attributes, data[2:], weight[2:])))]


def slide_maximum(attributes: Attributes, inputs: Inputs) -> list[Tensor]:
    """Slide a window over the first input and keep its largest value; the places of these are no output of ours."""
    data = need(inputs, 0).shape
    if attributes.get("ceil_mode") or attributes.get("storage_order"):
        raise ValueError("a pooling of another kind")
    return [Tensor((*data[:2], *_slide(attributes, data[2:], attributes["kernel_shape"])))]


def _slide(attributes: Attributes, data: Sequence[int], kernel: Sequence[int]) -> list[int]:
    """Return the lengths of what a window of the kernel's lengths gives that slides over the data."""
    axes = len(data)
    strides, dilations = attributes.get("strides") or [1] * axes, attributes.get("dilations") or [1] * axes
    pads = attributes.get("pads") or [0] * (2 * axes)
    if attributes.get("auto_pad", "NOTSET") != "NOTSET" or min(*strides, *dilations, *kernel) < 1 or min(pads) < 0:
        raise ValueError("a window of another kind")
    lengths = [
        (length + pads[i] + pads[i + axes] - dilations[i] * (kernel[i] - 1) - 1) // strides[i] + 1
        for i, length in enumerate(data)
    ]
    if min(lengths) < 0:
        raise ValueError("a kernel larger than the image")
    return lengths


def take_mean(attributes: Attributes, inputs: Inputs) -> list[Tensor]:
    """Take the mean along the axes that the second input lists, none of them twice."""
    axes = read_values(inputs, 1)
    if not axes:
        raise ValueError("a mean along no axis")
    return [_without(need(inputs, 0).shape, axes, keeps=bool(attributes.get("keepdims", 1)))]


def find_maximum(attributes: Attributes, inputs: Inputs) -> list[Tensor]:
    """Take the place of the largest value along one axis."""
    return [_without(need(inputs, 0).shape, [attributes.get("axis", 0)], keeps=bool(attributes.get("keepdims", 1)))]


def _without(shape: tuple[int, ...], given: Sequence[int], *, keeps: bool) -> Tensor:
    """Return what is left of a shape whose given axes, none of them twice, shrink to one value each."""
    axes = {range(len(shape))[axis] for axis in given}
    if len(axes) != len(given):
        raise ValueError("an axis twice")
    return Tensor(
        tuple(1 if axis in axes else length for axis, length in enumerate(shape) if keeps or axis not in axes)
    )
