"""Recipes as TOML: read from a file and the command line, written beside a run's checkpoints.

Top-level settings are those of `Recipe`. Each objective has a table of its own, [objectives.NAME], and
the sizes of towers to pretrain are in [tower]; on the command line both are written with dots.
"""

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from alta_sdk.errors import TrainingError
from alta_sdk.files.atomic import new_file
from alta_sdk.files.opening import read_text

from ..objectives import OBJECTIVES
from ..recipe import ObjectiveSettings, Recipe, fill_settings

TABLES = ("tower", "objectives")
# Flat names of before the tables, and what stands in their place.
RENAMED = {f"{name}_weight": f"objectives.{name}.weight" for name in ("global", "local", "reconstruction", "report")}


def read_recipe(path: Path | None, overrides: Iterable[str] = ()) -> tuple[Recipe, dict[str, Any]]:
    """Read a recipe file, if one is given, and apply overrides of the form name=value.

    Returns the recipe, with the settings of every objective, and what the file's [tower] table (or
    tower.name=value) says, which only pretraining takes.

    Raises TrainingError for a file that cannot be read, an unknown key, or a value of another kind.
    """
    given: dict[str, Any] = {}
    if path is not None:
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
    towers, objectives = (_take_table(given, name) for name in TABLES)
    recipe = replace(fill_settings(Recipe(), given), objectives=fill_objectives(objectives))
    return recipe, towers


def fill_objectives(tables: Mapping[str, Any]) -> dict[str, ObjectiveSettings]:
    """Return the settings of every registered objective, with what the tables by name say.

    Raises TrainingError for an objective or a setting that is not known, and for a misfit value.
    """
    unknown = sorted(set(tables) - set(OBJECTIVES))
    if unknown:
        raise TrainingError(f"recipe has unknown objectives: {', '.join(unknown)}; known: {', '.join(OBJECTIVES)}")
    filled = {}
    for name, objective in OBJECTIVES.items():
        table = tables.get(name, {})
        if not isinstance(table, dict):
            raise TrainingError(f"recipe: objectives.{name} must be a table: write objectives.{name}.weight")
        try:
            filled[name] = fill_settings(objective.Settings(), table)
        except TrainingError as error:
            raise TrainingError(f"[objectives.{name}] {error}") from error
    return filled


def write_recipe(recipe: Recipe, path: Path) -> None:
    """Write every setting of a recipe as TOML, atomically; `read_recipe` gives it back.

    Raises FileExistsError if a file is there: of another run.
    """
    settings = asdict(recipe)
    objectives = settings.pop("objectives")
    lines = _render_settings(settings)
    for name, table in objectives.items():
        lines += ["", f"[objectives.{name}]", *_render_settings(table)]
    with new_file(path, overwrite=False) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def list_settings(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten a recipe's `asdict` to what counts: objectives.NAME.KEY only of objectives that have a weight."""
    flat = {name: value for name, value in recipe.items() if name != "objectives"}
    for name, table in recipe.get("objectives", {}).items():
        if table["weight"]:
            flat |= {f"objectives.{name}.{key}": value for key, value in table.items()}
    return flat


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


def _render_settings(settings: Mapping[str, object]) -> list[str]:
    return [f"{name} = {_render(value)}" for name, value in settings.items()]


def _render(value: object) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)  # JSON's escapes are TOML's
    return str(value).lower() if isinstance(value, bool) else repr(value)
