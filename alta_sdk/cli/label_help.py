"""A command with --labels, whose --help lists the engine's label sets, where one is known: given, or by settings."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from ..engine.bundle import MAX_FILE_MIB, MIB, PROMPTS
from ..engine.label_sets import LabelSet, parse_label_sets
from ..errors import AltaError
from ..files.opening import read_bytes
from ..files.spelling import spell

GIVEN = "alta_sdk.given"


class LabelledCommand(click.Command):
    """A command that scores labels."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep what was given: --help comes before anything else is looked at."""
        ctx.meta[GIVEN] = tuple(args)
        return super().parse_args(ctx, args)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the engine's label sets below the help."""
        super().format_epilog(ctx, formatter)
        engine = self._find_engine(ctx)
        if engine is None:
            return
        with formatter.section("Label sets of this engine, for --labels"):
            try:
                sets = read_label_sets(Path(engine))
            except (AltaError, OSError):
                formatter.write_text("They cannot be read: alta inspect tells why.")
                return
            formatter.write_dl([(spell(name), spell(", ".join(labels))) for name, labels in sets.items()])

    def _find_engine(self, ctx: click.Context) -> str | None:
        option = next((one for one in self.params if one.name == "engine" and isinstance(one, click.Option)), None)
        if option is None:
            return None
        opts: Any = {}
        with suppress(click.UsageError):
            opts, _, _ = self.make_parser(ctx).parse_args(list(ctx.meta.get(GIVEN, ())))
        value, _ = option.consume_value(ctx, opts)
        return value if isinstance(value, str) else None


def read_label_sets(engine: Path) -> dict[str, LabelSet]:
    """Return an engine's label sets, unproven: to be shown. Raises OSError or AltaError if they cannot be read."""
    return parse_label_sets(read_bytes(engine / PROMPTS, MAX_FILE_MIB[PROMPTS] * MIB, links=False))
