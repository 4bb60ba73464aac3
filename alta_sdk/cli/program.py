"""A whole command line as click runs it, with our own end: nothing is raised, and no value is quoted that was given.

click tells wrong usage with the value in it, which may be the path of a patient's folder.
"""

import os
import re
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

import click

from ..files.spelling import spell
from .terminal import end_in_one_line, flush_output

START = "alta_start"  # its handler of Ctrl-C ends the process at once: right before and behind a command alone
HIDDEN = "…"
OPTION = re.compile("--?[a-z][a-z0-9-]{0,30}")


class Program(click.Command):
    """A command that is a program of its own."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run it as click does; standalone, exit with 0, 1, 2 or 130."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        given = list(sys.argv[1:] if args is None else args)
        leave_rights(self)
        code: Any = 1
        try:
            with interrupts_raise(), end_in_one_line():
                try:
                    code = super().main(given, prog_name, complete_var, standalone_mode=False, **extra)
                except click.Abort as abort:  # what click makes of Ctrl-C
                    raise KeyboardInterrupt from abort
                except click.ClickException as error:
                    code = tell_misuse(error, given)
                flush_output()
        finally:
            with suppress(OSError):
                flush_output()
        sys.exit(code if isinstance(code, int) else 0)


class CommandFiles(MutableMapping[str, click.Command]):
    """Commands that lie each in a file of its own name: a run imports the one that it is, the help all of them."""

    def __init__(self, package: str, names: Iterable[str]) -> None:
        """package: whose module `NAME` has the command `NAME`; a name's hyphens are underscores there."""
        self._package = package
        self._found: dict[str, click.Command | None] = dict.fromkeys(names)

    def __getitem__(self, name: str) -> click.Command:
        """Return a command; KeyError if there is none of that name."""
        command = self._found[name]
        if command is None:
            own = name.replace("-", "_")
            command = self._found[name] = getattr(import_module(f"{self._package}.{own}"), own)
        return command

    def __setitem__(self, name: str, command: click.Command) -> None:
        """Add a command, as click's decorators do."""
        self._found[name] = command

    def __delitem__(self, name: str) -> None:
        """Take a command away."""
        del self._found[name]

    def __iter__(self) -> Iterator[str]:
        """Go through the names, importing nothing."""
        return iter(self._found)

    def __len__(self) -> int:
        """Count the names."""
        return len(self._found)

    def __contains__(self, name: object) -> bool:
        """Tell whether there is a command of that name, importing nothing."""
        return name in self._found


class ProgramGroup(Program, click.Group):
    """A group of commands that is a program."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command as a program has it, or None; its file is imported here."""
        with end_in_one_line():
            command = super().get_command(ctx, cmd_name)
        if command is not None:
            leave_rights(command)
        return command


def leave_rights(command: click.Command) -> None:
    """Let click ask no path whether it may be read: whoever opens it says so, and it is no wrong usage."""
    for parameter in command.params:
        if isinstance(parameter.type, click.Path):
            parameter.type.readable = False
    if isinstance(command, click.Group) and not isinstance(command.commands, CommandFiles):
        for one in command.commands.values():
            leave_rights(one)


@contextmanager
def interrupts_raise() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt as long as a command works, so that it cleans up."""
    at_start = signal.getsignal(signal.SIGINT)
    if getattr(at_start, "__module__", "") != START:
        yield
        return
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        yield
    finally:
        signal.signal(signal.SIGINT, at_start)


def tell_misuse(error: click.ClickException, given: Sequence[str]) -> int:
    """Say what click says of wrong usage, without a value that was given; return the exit code."""
    if not given:  # the help
        error.show()
        return error.exit_code
    context = getattr(error, "ctx", None)
    known = getattr(context.command, "commands", {}) if context is not None else {}
    hidden = [*(value for value in given if value not in known), *list_settings(context)]
    message = hide_values(error.format_message(), hidden)
    if isinstance(error, click.UsageError):
        click.UsageError(message, error.ctx).show()
    else:
        click.ClickException(message).show()
    return error.exit_code


def list_settings(context: click.Context | None) -> list[str]:
    """Return the values that options may have from the environment or a file: they are hidden as well."""
    variables = [value for name, value in os.environ.items() if name.startswith("ALTA_") and not value.isdigit()]
    table = None if context is None else context.find_root().default_map
    return [*variables, *_list_texts(table or {})]


def _list_texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for one in value.values() if isinstance(value, Mapping) else value:
            yield from _list_texts(one)


def hide_values(message: str, given: Sequence[str]) -> str:
    """Take out of a message whatever was given on the command line, but for names of options."""
    values = {part for argument in given for part in (argument, argument.partition("=")[2]) if part}
    spellings = {spelled for value in values if not OPTION.fullmatch(value) for spelled in _spell_variants(value)}
    for spelled in sorted(spellings, key=len, reverse=True):
        before = r"(?<!\w)" if re.match(r"\w", spelled) else ""
        after = r"(?!\w)" if re.search(r"\w\Z", spelled) else ""
        message = re.sub(f"{before}{re.escape(spelled)}{after}", HIDDEN, message)
    return spell(message)


def _spell_variants(value: str) -> set[str]:
    """Return how click may write a value: as it is, as a file's name, or as Python spells it."""
    shown = click.format_filename(value)
    return {one for one in (value, shown, repr(value)[1:-1], repr(shown)[1:-1], os.path.normpath(value)) if one.strip()}
