"""The options of `alta embed` that go with an archive alone; reading them imports nothing of it."""

from dataclasses import dataclass

import click

from .option_groups import COUNT, group_options

SUFFIX = ".lance"
SHARD_STUDIES = 1000


@dataclass(frozen=True)
class ArchiveOptions:
    """How an archive is embedded, and what its rows hold."""

    on: str = "local"
    workers: int | None = None
    gpus_per_worker: float | None = None
    shard: str | None = None
    labels: str | None = None
    with_dates: bool = False
    retry: bool = False
    shard_studies: int = SHARD_STUDIES

    def refuse_for_an_index(self) -> None:
        """Raise UsageError if one of them is given for an index, which has none of this."""
        if self != ArchiveOptions():
            raise click.UsageError(
                "--on, --workers, --gpus-per-worker, --shard, --labels, --with-dates, --retry and --shard-studies "
                "go with an archive: --out NAME.lance"
            )


def is_archive(path: str) -> bool:
    """Tell by its name whether an index is an archive: NAME.lance, here or in a store."""
    return path.rstrip("/\\").endswith(SUFFIX)


archive_options = group_options(
    "archive",
    ArchiveOptions,
    click.option(
        "--on", default="local", show_default=True, help="Of an archive: local, ray, dask, ray:// or dask://."
    ),
    click.option("--workers", type=COUNT, help="Of an archive: how many. [default: one for each processor]"),
    click.option("--gpus-per-worker", type=click.FloatRange(min=0), help="Of an archive, on Ray: 0.5 shares a GPU."),
    click.option("--shard", metavar="I/N", help="Of an archive: embed part I of N alone, counted from 0."),
    click.option("--labels", help="Of an archive: findings to score, a column for each; as for alta score."),
    click.option("--with-dates", is_flag=True, help="Of an archive: keep each study's day, not its month alone."),
    click.option("--retry", is_flag=True, help="Of an archive: try again what could not be read before."),
    click.option(
        "--shard-studies",
        type=click.IntRange(1, 100_000),
        default=SHARD_STUDIES,
        show_default=True,
        help="Of an archive: studies in one piece of work.",
    ),
)
