"""Options that several commands share, given to a command as one frozen object."""

from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from typing import Any

Command = Callable[..., None]
Decorator = Callable[[Command], Command]


def group_options(name: str, kind: Callable[..., object], *options: Decorator) -> Decorator:
    """Return a decorator that gives a command click's options and hands them over as one argument.

    name: of the argument. kind: a dataclass whose fields are named as the options' parameters.
    """
    parameters = [field.name for field in fields(kind)]  # type: ignore[arg-type]

    def decorate(command: Command) -> Command:
        @wraps(command)
        def collect(**given: Any) -> None:
            group = kind(**{parameter: given.pop(parameter) for parameter in parameters})
            command(**{name: group}, **given)

        decorated: Command = collect
        for option in reversed(options):
            decorated = option(decorated)
        return decorated

    return decorate
