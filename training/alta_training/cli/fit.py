"""`alta-train fit`: align by adapters: train ALTA's adapters, heads and norms inside frozen towers."""

import os
from pathlib import Path
from typing import Any

import click

from alta_sdk.cli.option_groups import CONTEXT, PATH
from alta_sdk.cli.program import Program
from alta_sdk.cli.terminal import fail_in_one_line, say
from alta_sdk.errors import CheckpointError, TrainingError

from ..data.labelled import LabelledRadiograph, read_labelled
from ..data.records import read_table
from ..recipe import Recipe
from ..recipes import fill_recipe, read_settings
from ..run.folder import check_output
from .facts import add_fact_options, ask_facts
from .packages import need_packages
from .run_options import add_run_options, prepare_memory

TEXT_SIZES = ("text_width", "text_depth", "text_heads", "vocabulary", "max_tokens")


@click.command(cls=Program, context_settings=CONTEXT)
@click.option("--backbone", required=True, type=PATH, help="MRM.pth, or what pretrain wrote.")
@click.option("--text-model", type=PATH, help="BERT folder (CXR-BERT). [default: text-model beside the backbone]")
@add_run_options
@click.option("--teacher", type=PATH, help="Sentence vectors of teach, for objectives.distillation.")
@click.option("--wordings", type=PATH, help="As pair's, for objectives.label. [default: the project's]")
@click.option("--validation", type=PATH, help="Labelled table: image, patient, view, findings, split.")
@click.option("--validation-split", default="val", show_default=True, help="Its rows to take.")
@click.option("--validation-finding", default="Pneumonia", show_default=True, help="Against No Finding.")
@click.option("--validation-pairs", type=PATH, help="A table like --data, for retrieval.")
@click.option(
    "--validate-every", type=click.IntRange(min=1), default=1, show_default=True, help="Epochs between validations."
)
@add_fact_options
@fail_in_one_line
def fit(backbone: Path, text_model: Path | None, output: Path, **given: Any) -> None:
    """Train ALTA's adapters on studies with reports.

    The published recipe is the default. Writes OUTPUT/best.safetensors (of the best validation AUC),
    last.safetensors and text-model/, which alta-export reads. Not for clinical use.
    """
    check_output(output, given["resume"], backbone)
    recipe, towers, _ = fill_recipe(read_settings(given["recipe_file"], given["overrides"]))
    refuse_towers(towers, recipe)
    if not os.path.isfile(backbone):
        raise CheckpointError(f"backbone {backbone.name} not found: give MRM.pth or what pretrain wrote")
    read_table(given["data"], given["root"])
    validation = read_validation(given)
    if recipe.patience and validation is None:
        raise TrainingError("recipe: patience needs a validation to wait for: give --validation, or patience=0")
    if validation is None and not int(os.environ.get("RANK", 0)):
        say("no --validation: there will be no best model, and publish takes the last weights")
    facts = ask_facts(given)
    need_packages(given["loggers"])
    prepare_memory()
    from ..work.fit import fit_model

    fit_model(backbone, text_model, output, given, facts, validation)


def refuse_towers(towers: dict[str, object], recipe: Recipe) -> None:
    """Refuse tower sizes in a recipe for alignment: they come from the backbone, but a fresh text tower's."""
    own = TEXT_SIZES if recipe.text_tower == "whole" else ()
    others = [name for name in towers if name not in own]
    if others:
        raise TrainingError(
            f"recipe has {', '.join(others)} in [tower]: sizes come from --backbone; pretrain takes them, and "
            f'with text_tower = "whole" fit takes {", ".join(TEXT_SIZES)}'
        )


def read_validation(given: dict[str, Any]) -> list[LabelledRadiograph] | None:
    """Read the labelled table of the validation, None without one; raise TrainingError if it has no such rows."""
    if not given["validation"]:
        return None
    return read_labelled(given["validation"], split=given["validation_split"], finding=given["validation_finding"])
