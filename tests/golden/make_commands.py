"""Write commands.txt: every command of `alta` and `alta-export` with its arguments and options.

A test compares it with the commands as they are: a renamed or lost option is noticed, and a wanted change is one
run of this file, seen in the diff.

    python tests/golden/make_commands.py
"""

from collections.abc import Iterator
from pathlib import Path

import click

from alta_export.cli import main as alta_export
from alta_sdk.cli import main as alta

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
    return "\n".join((*list_commands(alta, "alta"), *list_commands(alta_export, "alta-export"))) + "\n"


if __name__ == "__main__":
    GOLDEN.write_text(render_commands(), encoding="utf-8")
