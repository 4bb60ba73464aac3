"""Write commands.txt: every command of `alta`, `alta-export` and `alta-train` with its arguments and options.

A test compares it with the commands as they are: a renamed or lost option is noticed, and a wanted change is one
run of this file, seen in the diff.

    python tests/golden/make_commands.py
"""

from collections.abc import Iterator
from pathlib import Path

import click

from alta_export.cli import main as alta_export
from alta_sdk.cli import main as alta
from alta_training.cli import main as alta_train

GOLDEN = Path(__file__).with_name("commands.txt")


def list_commands(command: click.Command, name: str) -> Iterator[str]:
    """Yield a line for a command and for each under it: its arguments, then its options by name."""
    arguments = [parameter.human_readable_name for parameter in command.params if isinstance(parameter, click.Argument)]
    options = [
        "/".join((*parameter.opts, *parameter.secondary_opts))
        for parameter in command.params
        if isinstance(parameter, click.Option)
    ]
    yield " ".join((name, *arguments, *sorted(options)))
    if isinstance(command, click.Group):
        context = click.Context(command)
        for part in command.list_commands(context):
            found = command.get_command(context, part)
            assert found is not None
            yield from list_commands(found, f"{name} {part}")


def render_commands() -> str:
    """Return the text of commands.txt."""
    programs = {"alta": alta, "alta-export": alta_export, "alta-train": alta_train}
    return "\n".join(line for name, program in programs.items() for line in list_commands(program, name)) + "\n"


if __name__ == "__main__":
    GOLDEN.write_text(render_commands(), encoding="utf-8")
