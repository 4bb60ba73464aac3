"""What `alta validate` writes beside its table: a page, a CSV file, a reference for `alta watch`."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path

import click

from ..files.targets import IsOurs, check_target, is_same_file, write_target
from ..report.validation_page import Maps, is_validation_page, render_validation
from ..report.validation_table import is_validation_table, render_validation_table
from ..validation.drift import Reference, is_reference, render_reference
from ..validation.result import Validation
from .last_steps import take_every_step
from .option_groups import FILE, group_options, overwrite_option
from .study_arguments import with_identifiers_option


@dataclass(frozen=True)
class ValidationOutputs:
    """The files of a validation. reference: distributions for `alta watch`."""

    csv: Path | None
    html: Path | None
    reference: Path | None
    locate_worst: bool
    with_identifiers: bool
    overwrite: bool

    def check(self, inputs: Iterable[str | None], *, as_json: bool) -> None:
        """Refuse what cannot be written before any study is read; inputs: the paths that are."""
        if self.with_identifiers and self.html is None and not as_json:
            raise click.UsageError("--with-identifiers goes with --html or --json: nothing else names a study")
        if self.locate_worst and self.html is None:
            raise click.UsageError("--locate-worst goes with --html: the heat maps are in the page")
        given = [path for path in (self.csv, self.html, self.reference) if path is not None]
        if any(is_same_file(one, other) for one, other in combinations(given, 2)):
            raise click.UsageError("--csv, --html and --reference must be different files")
        read = list(inputs)
        for path, what, is_ours in self._targets:
            if path is not None:
                check_target(path, what, overwrite=self.overwrite, is_ours=is_ours, inputs=read)

    @property
    def _targets(self) -> tuple[tuple[Path | None, str, IsOurs], ...]:
        return (
            (self.csv, "table of figures", is_validation_table),
            (self.html, "page", is_validation_page),
            (self.reference, "reference of scores", is_reference),
        )

    def write(self, validation: Validation, maps: Maps, reference: Reference | None, *, platt: bool) -> None:
        """Write the files that were asked for: one that cannot be written does not cost the others."""

        def write(path: Path, what: str, is_ours: IsOurs, render: Callable[[], str]) -> None:
            write_target(path, render().encode("utf-8"), what, overwrite=self.overwrite, is_ours=is_ours)

        renders: tuple[Callable[[], str], ...] = (
            partial(render_validation_table, validation),
            partial(render_validation, validation, maps, platt=platt),
            lambda: "" if reference is None else render_reference(reference),
        )
        steps = zip(self._targets, renders, strict=True)
        take_every_step(
            *(partial(write, path, what, ours, render) for (path, what, ours), render in steps if path is not None)
        )


validation_outputs_option = group_options(
    "outputs",
    ValidationOutputs,
    click.option("--csv", type=FILE, help="CSV to write: a line for each figure."),
    click.option("--html", type=FILE, help="Page to write: every figure, drawn; loads nothing."),
    click.option("--reference", type=FILE, help="File to write for alta watch: how scores and pictures are spread."),
    click.option("--locate-worst", is_flag=True, help="Draw heat maps of the worst cases in the page."),
    with_identifiers_option,
    overwrite_option("files that are"),
)
