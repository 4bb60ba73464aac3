"""`alta-train check`: the reading of a table alone, as training does it: what it holds, and which rows are refused."""

from pathlib import Path

import click

from alta_sdk.cli.option_groups import CONTEXT, PATH, json_option
from alta_sdk.cli.program import Program
from alta_sdk.cli.terminal import fail_in_one_line, print_facts, print_object, print_table, say, show_progress
from alta_sdk.errors import TrainingError

from ..data.pixels import PixelReader
from ..data.survey import TRAINING, Survey, survey_table
from ..recipe import Recipe
from ..recipes import fill_recipe, read_settings
from .run_options import RECIPE_HELP


@click.command(cls=Program, context_settings=CONTEXT)
@click.argument("table", type=PATH)
@click.option("--root", type=PATH, help="Folder that image paths start at. [default: the table's, or images beside it]")
@click.option("--recipe", "recipe_file", type=PATH, help=RECIPE_HELP)
@click.option("--set", "overrides", multiple=True, metavar="NAME=VALUE", help="Override a recipe value.")
@click.option("--cache", type=PATH, help="As fit's: what is read here, fit need not decode again.")
@click.option("--workers", type=click.IntRange(min=0), default=0, help="Readers at a time. [default: one a processor]")
@click.option(
    "--bad-rows",
    type=click.Choice(["stop", "skip"]),
    default="stop",
    show_default=True,
    help="As fit's: whether rows that cannot be used make this fail.",
)
@json_option()
@fail_in_one_line
def check(
    table: Path,
    root: Path | None,
    recipe_file: Path | None,
    overrides: tuple[str, ...],
    cache: Path | None,
    workers: int,
    bad_rows: str,
    as_json: bool,
) -> None:
    """Read TABLE and every radiograph of it as training would, and tell what is in it; needs no torch.

    TABLE: a training table (fit, pretrain), a labelled table (--validation, publish) or one of captioned radiographs.
    """
    recipe, _, _ = fill_recipe(read_settings(recipe_file, overrides))
    survey = survey_table(table, root, PixelReader(recipe.intensity_profile, cache), workers, show_progress)
    for row in survey.bad:
        say(f"row {row.row}: {row.problem}")
    if as_json:
        print_object(describe_survey(survey, recipe))
    else:
        show_survey(table.name, survey, recipe)
    if not survey.usable or survey.bad and bad_rows == "stop":
        refused = f"{len(survey.bad)} of {survey.rows} rows of {table.name} cannot be used"
        raise TrainingError(f"{refused}: mend them, or pass --bad-rows skip")


def describe_survey(survey: Survey, recipe: Recipe) -> dict[str, object]:
    """Return what was found as one JSON object."""
    return {
        "kind": survey.kind,
        "rows": survey.rows,
        "refused": [{"row": row.row, "problem": row.problem} for row in survey.bad],
        "slots": dict(survey.slots),
        "radiographs": dict(survey.radiographs),
        "patients": dict(survey.patients),
        "splits": survey.splits,
        "patients_in_several_splits": survey.shared,
        "findings": {name: dict(counts) for name, counts in survey.findings.items()},
        "steps_per_epoch": count_steps(survey, recipe),
    }


def count_steps(survey: Survey, recipe: Recipe) -> int | None:
    """Count the steps of an epoch on a training table, None for another."""
    return survey.usable // recipe.batch if survey.kind == TRAINING else None


def show_survey(name: str, survey: Survey, recipe: Recipe) -> None:
    """Print what was found."""
    facts: list[tuple[str, object]] = [
        ("rows", f"{survey.rows}, of which {survey.usable} can be used"),
        ("radiographs", ", ".join(f"{slot.replace('_', ' ')} {count}" for slot, count in survey.slots.items())),
    ]
    if survey.splits:
        facts.append(("splits", survey.splits))
    if survey.patients:
        facts.append(("patients", ", ".join(f"{split} {count}" for split, count in survey.patients.items())))
        facts.append(("patients in several splits", survey.shared or "none"))
    steps = count_steps(survey, recipe)
    if steps is not None:
        facts.append(("an epoch", f"{steps} steps of {recipe.batch} studies; {recipe.epochs} epochs"))
    print_facts(f"{name} · {survey.kind}", facts)
    if survey.findings:
        columns = list(survey.radiographs)
        rows = [(name, *(counts.get(split, 0) for split in columns)) for name, counts in survey.findings.items()]
        print_table("Findings", ["finding", *columns], rows)
    say("Not for clinical use.")
