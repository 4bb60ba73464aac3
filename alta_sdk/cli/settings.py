"""Options that are not on the command line: from the environment and from alta.toml, for every command of `alta`.

The order is option, environment, alta.toml of the working folder, alta.toml among this user's settings, default. A
variable is named after command and option (ALTA_SCORE_LABELS); SHARED ones have a short name, too (ALTA_ENGINE), which
the longer one beats. In alta.toml a shared option stands at the top, any option in the table of its command. The
threat is a file that somebody else wrote: one that others may write is refused, and so is whatever it says that no
command knows; what proves engines, hides or shows names and keeps account is not taken from the working folder,
which may be anybody's: an unpacked archive of studies brings files that belong to its reader.
"""

import copy
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from ..errors import AltaError
from ..files.opening import open_file
from ..files.spelling import spell
from ..files.user_settings import find_settings
from .program import ProgramGroup
from .terminal import end_in_one_line

PREFIX = "ALTA"
FILE_NAME = "alta.toml"
OF_USER, LOCAL = f"{FILE_NAME} among your settings", f"{FILE_NAME} in the working folder"
MOST_BYTES = 1 << 20
SEPARATOR = ";"  # of the values of an option that may be given again: they may hold blanks and commas
SHARED = (
    "engine",
    "threads",
    "trust",
    "key-file",
    "audit",
    "fusion-mode",
    "any-body-part",
    "any-view",
    "any-picture",
    "window",
    "allow-for-processing",
    "allow-incomplete",
)
GUARDED = ("trust", "key-file", "audit", "with-identifiers", "with-pictures", "show-text")


class ConfiguredGroup(ProgramGroup):
    """A program whose commands take options from the environment and from alta.toml."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command whose options know their variables, or None."""
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            name_variables(command, (PREFIX, cmd_name))
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is run, and what alta.toml says of it."""
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None and command is not None and not ctx.resilient_parsing:
            is_help = any(one in ctx.help_option_names for one in rest)  # shown whatever the file says
            with end_in_one_line(), suppress(*[AltaError] * is_help):
                ctx.default_map = {name: read_defaults(name, command, self.commands)}
        return name, command, rest


def name_variables(command: click.Command, parts: Sequence[str]) -> None:
    """Let each option of a command, and of those under it, be read from its variable."""
    for option in list_options(command):
        own = _join_upper(*parts, name_option(option))
        given = [option.envvar] if isinstance(option.envvar, str) else list(option.envvar or ())
        if own in given:
            return  # the command was named before
        short = [_join_upper(PREFIX, name_option(option))] if name_option(option) in SHARED and not given else []
        option.envvar = [own, *given, *short]
        if option.multiple and not isinstance(option.type, click.Path):
            option.type = copy.copy(option.type)
            option.type.envvar_list_splitter = SEPARATOR  # type: ignore[misc]  # of this option alone
    if isinstance(command, click.Group):
        for name, one in command.commands.items():
            name_variables(one, (*parts, name))


def list_options(command: click.Command) -> list[click.Option]:
    """Return the options of a command, without its help."""
    return [one for one in command.params if isinstance(one, click.Option)]


def name_option(option: click.Option) -> str:
    """Return an option's long name without dashes before it."""
    return max(option.opts, key=len).lstrip("-")


def _join_upper(*parts: str) -> str:
    return "_".join(parts).replace("-", "_").upper()


def read_defaults(name: str, command: click.Command, commands: Iterable[str]) -> dict[str, Any]:
    """Return what the files of settings say of a command, by parameter; raise AltaError for one that is not right."""
    settings = find_settings()
    places = [(None if settings is None else settings / FILE_NAME, OF_USER), (Path(FILE_NAME), LOCAL)]
    found: dict[str, Any] = {}
    for path, where in places:
        if path is not None and os.path.lexists(path):  # a command starts no slower for what is not there
            found |= _SettingsFile(path, where).select(name, command, list(commands))
    return found


class _SettingsFile:
    """One alta.toml, read."""

    def __init__(self, path: Path, told: str) -> None:
        self._folder, self._told = path.parent, told
        self._content = self._parse(self._read(path))

    def select(self, name: str, command: click.Command, commands: Sequence[str]) -> dict[str, Any]:
        """Return the values for a command by parameter: shared ones, then those of its own table.

        `engine` is both a shared option and a command: a table is the command's.
        """
        tables = {key: value for key, value in self._content.items() if key in commands and isinstance(value, dict)}
        for key in self._content:
            if key not in SHARED and key not in tables:
                raise self._refuse_place(key, commands)
        options = {name_option(one): one for one in list_options(command)}
        at_top = self._content.keys() - tables.keys()
        shared = {key: value for key, value in self._content.items() if key in options and key in at_top}
        return self._convert(shared, options, "") | self._select_table(tables.get(name, {}), command, name)

    def _select_table(self, table: Mapping[str, Any], command: click.Command, name: str) -> dict[str, Any]:
        """Return the values of a command's table, and of the tables of those under it."""
        under = command.commands if isinstance(command, click.Group) else {}
        found: dict[str, Any] = {}
        for key, one in under.items():
            if isinstance(table.get(key), dict):
                found[key] = self._select_table(table[key], one, f"{name}.{key}")
        own = {key: value for key, value in table.items() if key not in found}
        options = {name_option(one): one for one in list_options(command)}
        for key in own:
            if key not in options:
                raise self._refuse_unknown(key, (*options, *under), f"[{name}] ")
        return found | self._convert(own, options, f"[{name}] ")

    def _convert(self, values: Mapping[str, Any], options: Mapping[str, click.Option], where: str) -> dict[str, Any]:
        found = {}
        for key, value in values.items():
            option = options[key]
            if key in GUARDED and self._told == LOCAL:
                raise AltaError(f"{LOCAL}: {where}{key} is taken from {OF_USER} alone: move it there")
            wanted = explain_kind(option)
            if not fits_option(option, value):
                raise AltaError(f"{self._told}: {where}{key} must be {wanted}")
            is_path = isinstance(option.type, click.Path)
            found[str(option.name)] = self._place(value) if is_path else value
        return found

    def _place(self, value: Any) -> Any:
        """Return paths as they are told from the file's own folder."""
        return [self._place(one) for one in value] if isinstance(value, list) else str(self._folder / value)

    def _refuse_place(self, key: str, commands: Sequence[str]) -> AltaError:
        near = _find_near(key, (*SHARED, *commands), 0.7)
        advice = f"options of every command are {', '.join(SHARED)}; others stand in the table of theirs, as in [score]"
        if near:
            advice = f"did you mean {f'[{near}]' if near in commands else near}?"
        return AltaError(f"{self._told}: {spell(key)} is unknown at the top: {advice}")

    def _refuse_unknown(self, key: str, known: Sequence[str], where: str) -> AltaError:
        near = _find_near(key, known, 0.5)
        advice = f"did you mean {near}?" if near else f"known are {', '.join(known)}"
        return AltaError(f"{self._told}: {where}{spell(key)} is unknown: {advice}")

    def _read(self, path: Path) -> bytes:
        try:
            with open_file(path) as file:
                facts = os.fstat(file.fileno())
                data = file.read(MOST_BYTES + 1)
        except OSError as error:
            reason = error.strerror or "it is no file"
            raise AltaError(f"{self._told} cannot be read: {reason}; mend it, or remove it") from error
        if os.name != "nt":  # there the folder's access list guards the file
            self._check_owner(facts)
        if len(data) > MOST_BYTES:
            raise AltaError(f"{self._told} is larger than 1 MiB: it is no file of settings")
        return data

    def _check_owner(self, facts: os.stat_result) -> None:
        """Refuse a file that somebody else may have written: a folder of studies may be anybody's."""
        if facts.st_mode & 0o002:
            raise AltaError(f"{self._told} may be written by every user of this machine: chmod o-w it")
        if facts.st_uid not in (0, os.geteuid()):  # root, too, takes no stranger's
            raise AltaError(f"{self._told} belongs to another user: copy it, or work in another folder")

    def _parse(self, data: bytes) -> dict[str, Any]:
        import tomllib

        try:
            return tomllib.loads(data.decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            raise AltaError(f"{self._told} is no text in UTF-8: save it as UTF-8") from error
        except tomllib.TOMLDecodeError as error:
            raise AltaError(f"{self._told} is no TOML: {_tell_place(error)}") from error
        except RecursionError as error:
            raise AltaError(f"{self._told} is nested too deep: it is no file of settings") from error


def _find_near(word: str, known: Sequence[str], likeness: float) -> str:
    """Return the known word that is most like one, or nothing."""
    from difflib import get_close_matches  # a command whose settings are right does not need it

    return next(iter(get_close_matches(word, known, n=1, cutoff=likeness)), "")


def _tell_place(error: ValueError) -> str:
    """Return where a TOML file is wrong, without what stands there."""
    _, _, place = str(error).rpartition("(")
    return f"look {place.rstrip(')')}" if place.startswith("at ") else "look for a missing quote or bracket"


def explain_kind(option: click.Option) -> str:
    """Say what an option's value is in alta.toml."""
    if option.multiple:
        return "a list of texts"
    if option.is_flag:
        return "true or false"
    if isinstance(option.type, click.types.IntParamType):
        return "a whole number"
    return "a number" if isinstance(option.type, click.types.FloatParamType) else "a text in quotes"


def fits_option(option: click.Option, value: Any) -> bool:
    """Tell whether a value of alta.toml is of an option's kind."""
    if option.multiple:
        return isinstance(value, list) and all(isinstance(one, str) for one in value)
    if option.is_flag or isinstance(value, bool):
        return option.is_flag and isinstance(value, bool)
    if isinstance(option.type, click.types.IntParamType):
        return isinstance(value, int)
    is_number = isinstance(option.type, click.types.FloatParamType)
    return isinstance(value, int | float) if is_number else isinstance(value, str)


def list_variables(command: click.Command) -> Iterator[str]:
    """Yield the variables that the options of a command, and of those under it, are read from."""
    for option in list_options(command):
        yield from [option.envvar] if isinstance(option.envvar, str) else (option.envvar or ())
    for one in command.commands.values() if isinstance(command, click.Group) else ():
        yield from list_variables(one)
