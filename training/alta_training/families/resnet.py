"""ResNet-50 as torchvision lays it out, of any width, without its pooling and classifier: pixels to feature maps.

The blocks are timm's, whose arithmetic and names are torchvision's: a block's stride is in its 3 × 3 convolution.
Only the stem is ours, since timm's has 64 channels whatever its blocks have.
"""

from torch import Tensor, nn

from ..model import torchvision_ops  # noqa: F401  timm imports torchvision

from timm.models.resnet import Bottleneck  # isort: skip

DEPTHS = (3, 4, 6, 3)
REDUCTION_PX = 32  # that a side of the image shrinks by


class ResNet50(nn.Module):
    """The trunk; names as in torchvision."""

    def __init__(self, stem: int, widths: tuple[int, ...]) -> None:
        """Make a trunk with fresh weights. widths: the inner channels of the four stages; published 64, 64 … 512."""
        super().__init__()
        self.conv1 = nn.Conv2d(3, stem, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        before = stem
        for number, (width, depth) in enumerate(zip(widths, DEPTHS, strict=True), start=1):
            self.add_module(f"layer{number}", make_stage(before, width, depth, 1 if number == 1 else 2))
            before = Bottleneck.expansion * width
        self.channels = before

    def forward(self, x: Tensor) -> Tensor:
        """Turn images (n, 3, px, px) into features (n, channels, px / 32, px / 32), rounded up."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for stage in self.stages():
            x = stage(x)
        return x

    def stages(self) -> tuple[nn.Module, ...]:
        """Return the four stages in order, each a sequence of blocks."""
        return tuple(self.get_submodule(f"layer{number}") for number in range(1, len(DEPTHS) + 1))


def make_stage(before: int, width: int, depth: int, stride: int) -> nn.Sequential:
    """Return one stage: its first block changes size, and so does its skip."""
    after = Bottleneck.expansion * width
    skip = None
    if stride != 1 or before != after:
        skip = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
    first = Bottleneck(before, width, stride, skip)
    return nn.Sequential(first, *(Bottleneck(after, width) for _ in range(depth - 1)))
