"""Recipes as TOML: read from a file and the command line, written beside a run's checkpoints.

Top-level settings are those of `Recipe`. Each objective has a table of its own, [objectives.NAME], and
the sizes of towers to pretrain are in [tower]; on the command line both are written with dots.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from alta_sdk.errors import TrainingError
from alta_sdk.files.atomic import new_file

from ..objectives import OBJECTIVES
from ..recipe import ObjectiveSettings, Recipe, fill_settings
from ..recipes import fill_recipe, read_settings


def read_recipe(path: Path | None, overrides: Iterable[str] = ()) -> tuple[Recipe, dict[str, Any]]:
    """Read a recipe file or a shipped recipe, if one is given, and apply overrides of the form name=value.

    Returns the recipe, with the settings of every objective, and what the file's [tower] table (or
    tower.name=value) says, which only pretraining takes.

    Raises TrainingError for a file that cannot be read, an unknown key, or a value of another kind.
    """
    recipe, towers, objectives = fill_recipe(read_settings(path, overrides))
    return replace(recipe, objectives=fill_objectives(objectives)), towers


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


def list_new_settings(recipe: Recipe, saved: Mapping[str, Any]) -> dict[str, Any]:
    """Return the defaults of settings that did not exist when a recipe was saved, flat as `list_settings` has them.

    An objective that the saved recipe left out has none: its weight is another setting.
    """
    plain = replace(recipe, objectives={name: type(own)() for name, own in recipe.objectives.items()})
    defaults = {field.name: field.default for field in fields(Recipe) if field.name != "objectives"}
    for name, table in asdict(plain)["objectives"].items():
        if f"objectives.{name}.weight" in saved:
            defaults |= {f"objectives.{name}.{key}": value for key, value in table.items()}
    return {name: value for name, value in defaults.items() if name not in saved}


def _render_settings(settings: Mapping[str, object]) -> list[str]:
    return [f"{name} = {_render(value)}" for name, value in settings.items()]


def _render(value: object) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)  # JSON's escapes are TOML's
    return str(value).lower() if isinstance(value, bool) else repr(value)
