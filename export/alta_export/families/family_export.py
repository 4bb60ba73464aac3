"""What the export knows of a family beside its towers: one value, which each family's file makes."""

from collections.abc import Callable
from dataclasses import dataclass

from alta_training.families.family import Towers

from ..options import ENGINES, PRECISIONS
from .merged import MergedEngine


def accept_all(towers: Towers) -> None:
    """Find nothing wrong with towers."""


@dataclass(frozen=True)
class FamilyExport:
    """How a family is exported.

    merge: towers to what is exported. merging: the stage's name, for people. check: raises ExportError for towers
    that cannot be merged.
    engines, precisions: that it can be exported as. unstated_licence: said of a checkpoint that states none, where that
    is not the licence of the published weights.
    """

    merge: Callable[[Towers], MergedEngine]
    merging: str = "Merge towers"
    check: Callable[[Towers], None] = accept_all
    engines: tuple[str, ...] = ENGINES
    precisions: tuple[str, ...] = PRECISIONS
    unstated_licence: str | None = None
