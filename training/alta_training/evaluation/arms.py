"""What a comparison of recipes runs: a TOML file with one table for each arm.

[average]
what = "weights averaged over the steps"
recipe = "demo.toml"    # beside this file
set = ["ema=0.99"]      # as fit --set
reports = false         # true: texts of --reports behind the sentences by rule
teacher = false         # true: --teacher is given to fit
over = "whole-text"     # the arm that it is held against
"""

import re
import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from alta_sdk.errors import TrainingError
from alta_sdk.files.opening import read_text

KINDS = {"what": str, "recipe": str, "set": list, "reports": bool, "teacher": bool, "over": str}


@dataclass(frozen=True)
class Arm:
    """One arm: its recipe file and overrides, what it learns from, and the arm that it is held against."""

    name: str
    what: str
    recipe: Path
    overrides: tuple[str, ...] = ()
    reports: bool = False
    teacher: bool = False
    over: str = ""


def read_arms(path: Path) -> list[Arm]:
    """Read arms; raise TrainingError for a file of another form, or an arm held against none that is there."""
    try:
        content = tomllib.loads(read_text(path))
    except (OSError, ValueError, RecursionError) as error:
        raise TrainingError(f"arms {path.name} cannot be read: give a TOML file with a table for each arm") from error
    if not content:
        raise TrainingError(f"arms {path.name} has no arm: write a table for each")
    return [_read_arm(path, name, table, content.keys()) for name, table in content.items()]


def _read_arm(path: Path, name: str, table: object, names: Collection[str]) -> Arm:
    if not re.fullmatch(r"[\w-]+", name):  # files are named after it
        raise TrainingError(f'arms {path.name}: name "{name}" must be of letters, digits, - and _')
    if not isinstance(table, dict) or "recipe" not in table:
        raise TrainingError(f"arms {path.name}: {name} must be a table with a recipe")
    wrong = [key for key, value in table.items() if key not in KINDS or not isinstance(value, KINDS[key])]
    if wrong:
        raise TrainingError(f"arms {path.name}: {name} has {', '.join(wrong)}, which is unknown or of another kind")
    over = table.get("over", "")
    if over and over not in names:
        raise TrainingError(f'arms {path.name}: {name} is over "{over}", which is not an arm')
    return Arm(
        name,
        table.get("what", ""),
        path.parent / table["recipe"],
        tuple(str(item) for item in table.get("set", [])),
        table.get("reports", False),
        table.get("teacher", False),
        over,
    )
