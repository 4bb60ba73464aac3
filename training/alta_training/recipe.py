"""A recipe: every setting of a training run, from a TOML file and the command line, refused if unknown.

The defaults are the published recipe. What a run used is written beside its checkpoints.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from alta_sdk.engine.manifest import FUSION_MODES
from alta_sdk.errors import TrainingError
from alta_sdk.files.atomic import new_file

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Settings = TypeVar("Settings", bound="DataclassInstance")
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")


@dataclass(frozen=True)
class Recipe:
    """Settings of one run; sizes and shares as in the published code where it has them.

    batch: studies of one optimizer step over all processes and accumulated parts. learning_rate is
    base_learning_rate · batch / 256. schedule_epochs: length of the cosine, of which `epochs` are run.
    min_sentences: above 0, a random number of a report's sentences, from this to all, is shown; 0: all.
    *_weight: of each loss. rotate, shear: degrees; translate: share of the side; scale, brightness,
    contrast: ± around 1. text_dropout: of the text tower in training, whatever its config.json says; with
    little data 0 learns much faster. fusion: what of a study meets the report ("published": mean of four slots).
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
    global_weight: float = 1.0
    local_weight: float = 1.0
    reconstruction_weight: float = 1.0
    report_weight: float = 1.0
    fusion: str = "published"
    rotate: float = 20.0
    shear: float = 10.0
    translate: float = 0.1
    scale: float = 0.05
    brightness: float = 0.2
    contrast: float = 0.2
    precision: str = "32-true"
    intensity_profile: str = "published-v1"

    def __post_init__(self) -> None:
        """Refuse values that cannot be trained with (TrainingError)."""
        for name in ("batch", "accumulate", "epochs", "schedule_epochs", "max_tokens"):
            _require(getattr(self, name) >= 1, name, "at least 1")
        for name in ("image_mask", "text_mask", "text_dropout"):
            _require(0 <= getattr(self, name) < 1, name, "in 0 to 1, without 1")
        for name in ("base_learning_rate", "weight_decay", "clip_norm", "warmup_epochs", "rotate", "shear"):
            _require(getattr(self, name) >= 0, name, "not negative")
        _require(self.fusion in FUSION_MODES, "fusion", f"one of {', '.join(FUSION_MODES)}")
        _require(self.precision in PRECISIONS, "precision", f"one of {', '.join(PRECISIONS)}")
        _require(self.batch % self.accumulate == 0, "accumulate", "a divisor of batch")
        _require(self.epochs <= self.schedule_epochs, "epochs", "at most schedule_epochs")

    @property
    def learning_rate(self) -> float:
        """The peak learning rate, scaled to the batch."""
        return self.base_learning_rate * self.batch / 256


def read_recipe(path: Path | None, overrides: Iterable[str] = ()) -> tuple[Recipe, dict[str, Any]]:
    """Read a recipe file, if one is given, and apply overrides of the form name=value.

    Returns the recipe and what the file's [tower] table (or tower.name=value) says, which only
    pretraining takes.

    Raises TrainingError for a file that cannot be read, an unknown key, or a value of another kind.
    """
    given: dict[str, Any] = {}
    if path is not None:
        try:
            given = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise TrainingError(f"recipe {path.name} cannot be read: give a TOML file of name = value") from error
    for override in overrides:
        name, equals, value = override.partition("=")
        if not equals:
            raise TrainingError(f'"{override}" is not a setting: write name=value')
        group, dot, key = name.strip().partition(".")
        if dot and group == "tower":
            given.setdefault("tower", {})[key] = _parse_value(value.strip())
        else:
            given[name.strip()] = _parse_value(value.strip())
    towers = given.pop("tower", {})
    return fill_settings(Recipe(), given), towers


def write_recipe(recipe: Recipe, path: Path) -> None:
    """Write every setting of a recipe as TOML, atomically."""
    lines = [f"{name} = {_render(value)}" for name, value in asdict(recipe).items()]
    with new_file(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


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
            value = float(value)
        if type(value) is not kind:
            raise TrainingError(f"recipe: {name} must be a {kind.__name__}")
        checked[name] = value
    return replace(defaults, **checked)


def _parse_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text  # a bare word is a string


def _render(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else repr(value)


def _require(is_valid: bool, name: str, what: str) -> None:
    if not is_valid:
        raise TrainingError(f"recipe: {name} must be {what}")
