"""A recipe: every setting of a training run, refused if it cannot be trained with.

The defaults are the published recipe. What objectives there are is not known here, so that all rooms
may read a recipe; `run/recipe_files.py`, which knows them, reads and writes recipes. Without torch, so that a
wrong setting is told at once.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

from alta_sdk.engine.manifest import FUSION_MODES
from alta_sdk.errors import TrainingError

from .published import PUBLISHED_ADAPTER

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Settings = TypeVar("Settings", bound="DataclassInstance")
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
IMAGE_TOWERS = ("adapters", "frozen")
TEXT_TOWERS = ("adapters", "whole", "frozen")
KINDS: dict[type, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
LOOKS = '0 unless fusion is "frontal" and image_mask is 0'
NOT_NEGATIVE = (
    "seed",
    "base_learning_rate",
    "weight_decay",
    "clip_norm",
    "warmup_epochs",
    "rotate",
    "shear",
    "image_rate",
    "text_rate",
    "head_rate",
    "image_from",
    "patience",
    "min_gain",
    "image_blocks",
    "looks",
    "min_sentences",
    "max_sentences",
)


@dataclass(frozen=True)
class ObjectiveSettings:
    """What every objective is told: its weight in the sum; 0 leaves it out. One with more settings adds them."""

    weight: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a weight that is negative or not finite (TrainingError)."""
        _require(self.weight >= 0 and math.isfinite(self.weight), "weight", "0 or a positive number")


@dataclass(frozen=True)
class Recipe:
    """Settings of one run; sizes and shares as in the published code where it has them.

    batch: studies of one optimizer step over all processes and accumulated parts. learning_rate is
    base_learning_rate · batch / 256. schedule_epochs: length of the cosine, of which `epochs` are run.
    min_sentences: above 0, a random number of a report's sentences, from this to all, is shown; 0: all.
    max_sentences: above 0, no more than so many of them. rotate, shear: degrees; translate: share of the
    side; scale, brightness, contrast: ± around 1. text_dropout: of the text tower in training, whatever its
    config.json says; with little data 0 learns much faster. fusion: what of a study meets the report
    ("published": mean of four slots). adapter: the kind, by name; adapter_share: its hidden units for each
    unit of the tower's width. image_tower, text_tower: what of a tower trains. "adapters": as published, its
    adapters, norms and learned tokens; "whole": all of it but adapters, for a small text tower that starts
    fresh; "frozen": nothing. Heads and temperatures always train. image_rate, text_rate, head_rate: of the
    learning rate, for the image tower, the text tower, and the rest. image_from: epochs for which the image
    tower waits, so that heads come first. image_blocks: above 0, nothing of the image tower trains below its
    last so many blocks. looks: above 0, each radiograph has so many augmentations, drawn once, and not a new
    one each epoch; the frozen foot of the image tower is then run once for each, and what it gives is kept.
    ema: above 0, the decay of an average of the weights over the steps, which is what is validated and
    stored. patience: above 0, the validations without a better one that end a run. min_gain: by how much the
    validation AUC must be better to count for patience; the best weights are kept either way. objectives:
    settings by name; one that is not named has its defaults.
    """

    seed: int = 0
    batch: int = 256
    accumulate: int = 1
    epochs: int = 30
    schedule_epochs: int = 100
    warmup_epochs: float = 10.0
    base_learning_rate: float = 1.5e-4
    min_learning_rate: float = 0.0
    weight_decay: float = 0.05
    beta1: float = 0.9
    beta2: float = 0.95
    clip_norm: float = 0.0
    image_mask: float = 0.75
    text_mask: float = 0.5
    text_dropout: float = 0.1
    max_tokens: int = 128
    shuffle_sentences: bool = True
    min_sentences: int = 0
    max_sentences: int = 0
    fusion: str = "published"
    rotate: float = 20.0
    shear: float = 10.0
    translate: float = 0.1
    scale: float = 0.05
    brightness: float = 0.2
    contrast: float = 0.2
    precision: str = "32-true"
    intensity_profile: str = "published-v1"
    adapter: str = PUBLISHED_ADAPTER
    adapter_share: float = 0.25
    image_tower: str = "adapters"
    text_tower: str = "adapters"
    image_rate: float = 1.0
    text_rate: float = 1.0
    head_rate: float = 1.0
    image_from: float = 0.0
    image_blocks: int = 0
    looks: int = 0
    ema: float = 0.0
    patience: int = 0
    min_gain: float = 0.0
    objectives: Mapping[str, ObjectiveSettings] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse values that cannot be trained with (TrainingError)."""
        for name in ("batch", "accumulate", "epochs", "schedule_epochs", "max_tokens"):
            _require(getattr(self, name) >= 1, name, "at least 1")
        for name in ("image_mask", "text_mask", "text_dropout", "ema"):
            _require(0 <= getattr(self, name) < 1, name, "in 0 to 1, without 1")
        for name in NOT_NEGATIVE:
            _require(getattr(self, name) >= 0, name, "not negative")
        _require(0 < self.adapter_share <= 4, "adapter_share", "above 0 and at most 4")
        _require(self.image_tower in IMAGE_TOWERS, "image_tower", f"one of {', '.join(IMAGE_TOWERS)}")
        _require(self.text_tower in TEXT_TOWERS, "text_tower", f"one of {', '.join(TEXT_TOWERS)}")
        _require(
            not self.max_sentences or self.max_sentences >= self.min_sentences,
            "max_sentences",
            "at least min_sentences",
        )
        _require(self.fusion in FUSION_MODES, "fusion", f"one of {', '.join(FUSION_MODES)}")
        if self.adapter != PUBLISHED_ADAPTER:
            from .adapters import ADAPTERS  # torch, which nothing else of a recipe needs

            _require(self.adapter in ADAPTERS, "adapter", f"one of {', '.join(ADAPTERS)}")
        _require(not self.looks or self.fusion == "frontal" and not self.image_mask, "looks", LOOKS)
        _require(self.precision in PRECISIONS, "precision", f"one of {', '.join(PRECISIONS)}")
        _require(self.batch % self.accumulate == 0, "accumulate", "a divisor of batch")
        _require(self.epochs <= self.schedule_epochs, "epochs", "at most schedule_epochs")

    @property
    def learning_rate(self) -> float:
        """The peak learning rate, scaled to the batch."""
        return self.base_learning_rate * self.batch / 256


def fill_settings(defaults: Settings, given: Mapping[str, Any]) -> Settings:
    """Return a dataclass of settings with the given ones in; raise TrainingError for unknown or misfit ones."""
    kinds = {field.name: type(field.default) for field in fields(defaults)}
    unknown = sorted(set(given) - set(kinds))
    if unknown:
        raise TrainingError(f"recipe has unknown keys: {', '.join(unknown)}; known: {', '.join(kinds)}")
    checked = {}
    for name, value in given.items():
        kind = kinds[name]
        if kind is float and type(value) is int:
            value = _to_float(name, value)
        if type(value) is not kind:
            default = getattr(defaults, name)
            shown = str(default).lower() if isinstance(default, bool) else default
            raise TrainingError(f"recipe: {name} must be {KINDS[kind]}, such as {shown}")
        checked[name] = value
    return replace(defaults, **checked)


def _to_float(name: str, value: int) -> float:
    try:
        return float(value)
    except OverflowError as error:
        raise TrainingError(f"recipe: {name} is too large") from error


def _require(is_valid: bool, name: str, what: str) -> None:
    if not is_valid:
        raise TrainingError(f"recipe: {name} must be {what}")
