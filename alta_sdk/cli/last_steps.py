"""The end of a command: what was computed reaches every place that can take it."""

from collections.abc import Callable

from ..errors import AltaError


def take_every_step(*steps: Callable[[], object] | None) -> None:
    """Take each step, also after one that failed, and then raise the first error.

    A full disk under one output costs neither the others nor what is printed. None is a step that was not asked for.
    """
    failed: AltaError | OSError | None = None
    for step in steps:
        try:
            if step is not None:
                step()
        except (AltaError, OSError) as error:
            failed = failed or error
    if failed is not None:
        raise failed
