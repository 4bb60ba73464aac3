"""What a model card must say of a run, asked for at its start: at its end nobody may remember."""

import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

import click

from alta_sdk.cli.terminal import say

FACTS = {
    "training_data": "what it is trained on, one line for the model card",
    "licence": "the licence of the weights",
    "notice": "a notice that is shown wherever the model is used",
}


def add_fact_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a model card's facts."""
    for option in (
        click.option("--notice", help="Shown wherever the model is used, kept in the checkpoint."),
        click.option("--licence", help="Of the weights, kept in the checkpoint."),
        click.option("--training-data", help="One line for the model card, kept in the checkpoint."),
    ):
        command = option(command)
    return command


def list_facts(given: Mapping[str, Any]) -> dict[str, str]:
    """Return the facts that were given as options."""
    return {name: given[name] for name in FACTS if given[name]}


def ask_facts(given: Mapping[str, Any]) -> dict[str, str]:
    """Return the facts of a card: as given, else as answered on a terminal; elsewhere say which are lacking.

    Nothing is asked of a run of several processes.
    """
    facts = list_facts(given)
    lacking = [name for name in FACTS if name not in facts]
    if not lacking or int(os.environ.get("RANK", 0)):
        return facts
    options = ", ".join(f"--{name.replace('_', '-')}" for name in lacking)
    if sys.stdin.isatty() and sys.stderr.isatty() and int(os.environ.get("WORLD_SIZE", 1)) == 1:
        say("The model card needs what follows; Enter leaves it for publish.")
        answers = {name: click.prompt(FACTS[name], default="", show_default=False, err=True) for name in lacking}
        return facts | {name: answer.strip() for name, answer in answers.items() if answer.strip()}
    say(f"not stated for the model card: {options}; give them here, or to publish")
    return facts
