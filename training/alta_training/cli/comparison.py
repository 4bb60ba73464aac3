"""What all runs of a comparison share, and what is held beside its arms; without torch."""

from dataclasses import dataclass
from pathlib import Path

ON_PIXELS, ON_FEATURES = "pixels", "frozen features"
BASELINES = {
    ON_PIXELS: "regression on 48 × 48 pixels, no text",
    ON_FEATURES: "regression on CLS and mean patch of the frozen tower, no text",
}


@dataclass(frozen=True)
class Comparison:
    """What all runs share."""

    backbone: Path
    radiographs: Path
    splits: tuple[str, ...]
    finding: str
    reports: Path | None
    teacher: Path | None
    rows: int
    cache: Path
    output: Path
