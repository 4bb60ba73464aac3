"""ResNet-50 without its batch norms, on grey pixels: the trunk of BioViL-T and BioViL as it is exported."""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from alta_training.families.resnet import ResNet50

from .convolution import Kernel

GREY_LEVELS = 255.0  # the published code divides by it, and subtracts nothing


class MergedBottleneck(nn.Module):
    """Three convolutions and a skip; the norms are in them."""

    def __init__(self, block: Any) -> None:
        """Merge one of timm's bottlenecks."""
        super().__init__()
        self.conv1, self.conv2, self.conv3 = (
            Kernel.of(conv).normed(norm).to_conv(conv)
            for conv, norm in ((block.conv1, block.bn1), (block.conv2, block.bn2), (block.conv3, block.bn3))
        )
        self.skip = None
        if block.downsample is not None:
            conv, norm = block.downsample
            self.skip = Kernel.of(conv).normed(norm).to_conv(conv)

    def forward(self, x: Tensor) -> Tensor:
        """Transform maps (n, channels, side, side)."""
        out = self.conv3(F.relu(self.conv2(F.relu(self.conv1(x)))))
        return F.relu(out + (x if self.skip is None else self.skip(x)))


class MergedTrunk(nn.Module):
    """The trunk on raw grey pixels."""

    def __init__(self, trunk: ResNet50) -> None:
        """Merge a trunk."""
        super().__init__()
        self.stem = Kernel.of(trunk.conv1).normed(trunk.bn1).on_grey(GREY_LEVELS).to_conv(trunk.conv1)
        self.pool = trunk.maxpool
        self.blocks = nn.Sequential(
            *(MergedBottleneck(block) for stage in trunk.stages() for block in stage.children())
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode pixels (n, 1, px, px) uint8 to features (n, channels, side, side)."""
        features: Tensor = self.blocks(self.pool(F.relu(self.stem(pixels.float()))))
        return features
