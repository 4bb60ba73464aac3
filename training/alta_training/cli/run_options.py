"""Options that `fit` and `pretrain` share, and what is refused of them before torch is imported."""

import os
from collections.abc import Callable
from typing import Any

import click

from alta_sdk.cli.option_groups import PATH
from alta_sdk.cli.terminal import say

from ..recipes import list_shipped
from ..run.allocator import TOLD, keep_freed_memory

LOGGERS = ("tensorboard", "csv", "wandb", "mlflow")
RECIPE_HELP = f"TOML file, or one of {', '.join(list_shipped())}. [default: the published recipe]"


def prepare_memory() -> None:
    """Let the process keep freed memory, before torch is imported; say so once."""
    if keep_freed_memory() and not int(os.environ.get("RANK", 0)):
        say(TOLD)


def add_run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that every training command has."""
    for option in reversed(
        (
            click.option("--data", required=True, type=PATH, help="Training table: the published train.csv's columns."),
            click.option("--root", type=PATH, help="Folder that image paths start at. [default: the table's]"),
            click.option("--output", required=True, type=PATH, help="New folder for the run."),
            click.option("--recipe", "recipe_file", type=PATH, help=RECIPE_HELP),
            click.option("--set", "overrides", multiple=True, metavar="NAME=VALUE", help="Override a recipe value."),
            click.option(
                "--bad-rows",
                type=click.Choice(["stop", "skip"]),
                default="stop",
                show_default=True,
                help="What to do when rows of the table cannot be used; every one is listed.",
            ),
            click.option("--cache", type=PATH, help="Folder for decoded and resized radiographs."),
            click.option(
                "--workers",
                type=click.IntRange(min=0),
                default=0,
                show_default=True,
                help="Processes that read radiographs.",
            ),
            click.option(
                "--device",
                type=click.Choice(["auto", "cpu", "cuda"]),
                default="auto",
                show_default=True,
                help="Where to compute.",
            ),
            click.option("--devices", type=int, help="Processes on this node. [default: torchrun's, else 1]"),
            click.option("--nodes", type=int, help="Nodes. [default: torchrun's, else 1]"),
            click.option("--resume", is_flag=True, help="Go on with the run in --output."),
            click.option("--save-every", default=0, help="Also save the state every so many steps. [default: epochs]"),
            click.option("--stop-after", default=0, hidden=True),
            click.option(
                "--logger",
                "loggers",
                multiple=True,
                type=click.Choice(LOGGERS),
                default=("tensorboard",),
                show_default=True,
                help="Where figures go besides metrics.jsonl; repeatable. W&B stays offline but for WANDB_MODE=online.",
            ),
            click.option("--dry-run", is_flag=True, help="Do all but training: read, make the model, time one step."),
        )
    ):
        command = option(command)
    return command
