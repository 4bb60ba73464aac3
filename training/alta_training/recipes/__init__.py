"""The recipes that are shipped, and what a recipe file and the command line say, before torch is imported.

A name without a suffix is a recipe of this folder. Settings of objectives are handed on as they were written:
only the objectives know them (`run/recipe_files.py`).
"""

import os
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from alta_sdk.errors import TrainingError
from alta_sdk.files.opening import read_text

from ..recipe import Recipe, fill_settings

FOLDER = Path(__file__).parent
ARMS = "-arms"  # in the names of what `cross-validate` compares, which are no recipes
TABLES = ("tower", "objectives")
# Flat names of before the tables, and what stands in their place.
RENAMED = {f"{name}_weight": f"objectives.{name}.weight" for name in ("global", "local", "reconstruction", "report")}


def list_shipped(*, arms: bool = False) -> list[str]:
    """List the names of shipped recipes, or of shipped comparisons (arms)."""
    return sorted(path.stem for path in FOLDER.glob("*.toml") if (ARMS in path.stem) == arms)


def find_shipped(given: Path, *, arms: bool = False) -> Path:
    """Return the file of a shipped recipe (or arms) by its name; whatever looks like a path, or is a file, stays.

    Raises TrainingError for a name that is none, with those that are.
    """
    if given.suffix or len(given.parts) > 1 or os.path.isfile(given):
        return given
    known = list_shipped(arms=arms)
    if given.name not in known:
        what = "arms" if arms else "recipe"
        raise TrainingError(f"{what} {given.name} is not shipped: give a TOML file, or one of {', '.join(known)}")
    return FOLDER / f"{given.name}.toml"


def read_settings(path: Path | None, overrides: Iterable[str] = ()) -> dict[str, Any]:
    """Read a recipe file, or one by its shipped name, and apply overrides of the form name=value.

    Raises TrainingError for a file that cannot be read, an override of another form, or a setting of before.
    """
    given: dict[str, Any] = {}
    if path is not None:
        path = find_shipped(path)
        try:
            given = tomllib.loads(read_text(path))
        except (OSError, ValueError, RecursionError) as error:
            raise TrainingError(f"recipe {path.name} cannot be read: give a TOML file of name = value") from error
    for override in overrides:
        _apply_override(given, override)
    for old, new in RENAMED.items():
        if old in given:
            table = new.removesuffix(".weight")
            raise TrainingError(f"recipe: {old} is now {new}: give --set {new}=…, or weight in a table [{table}]")
    return given


def fill_recipe(settings: dict[str, Any]) -> tuple[Recipe, dict[str, Any], dict[str, Any]]:
    """Return the recipe without objectives, and what is said in [tower] and [objectives].

    Raises TrainingError for an unknown key, or a value of another kind.
    """
    settings = dict(settings)
    towers, objectives = (_take_table(settings, name) for name in TABLES)
    return fill_settings(Recipe(), settings), towers, objectives


def _apply_override(given: dict[str, Any], override: str) -> None:
    name, equals, text = override.partition("=")
    if not equals:
        raise TrainingError(f'"{override}" is not a setting: write name=value')
    parts = name.strip().split(".")
    if parts[0] not in TABLES:
        parts = [name.strip()]
    table = given
    for part in parts[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise TrainingError(f"recipe: {part} must be a table to take {name.strip()}")
    table[parts[-1]] = _parse_value(text.strip())


def _take_table(given: dict[str, Any], name: str) -> dict[str, Any]:
    table = given.pop(name, {})
    if not isinstance(table, dict):
        raise TrainingError(f"recipe: {name} must be a table: write [{name}]")
    return table


def _parse_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return text  # a bare word is a string
