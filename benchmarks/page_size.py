"""How large is the page of a run? By the number of studies, with and without their pictures and heat maps.

    python benchmarks/page_size.py [--studies 1000] [--labels 5]

Rows are made up; pictures and maps are those of the example radiographs in examples/data, which repeat.
"""

from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import click
import numpy as np

from alta_sdk import Heatmap, Study
from alta_sdk.report.page import render_page
from alta_sdk.report.pictures import make_small_pictures
from alta_sdk.report.run import ReportRow, RunReport, SmallMap
from alta_sdk.study.slots import Slot

FOLDER = Path(__file__).resolve().parents[1] / "examples" / "data"
ORIGIN = {"engine": "demo", "engine_sha256": "0" * 64, "precision": "fp32", "runtime": "openvino", "fusion_mode": "f"}
READ = {"decoders": {"frontal": "JPEG 2000 Image Compression: pylibjpeg-openjpeg 2.6.0"}}


def make_map(study: Study, seed: int) -> SmallMap:
    """Return a heat map of made-up similarities on a radiograph."""
    grey = study.radiographs[Slot.FRONTAL].grey_u8
    patches = np.random.default_rng(seed).normal(0.3, 0.05, (7, 7)).astype(np.float32)
    return SmallMap.of(Heatmap(grey.astype(np.float32), patches, 0.1, 0.4, (0, 0), grey, ORIGIN), 0)


def weigh(rows: list[ReportRow], phrases: tuple[str, ...] = ()) -> str:
    """Return what a page weighs, and how many pictures it has."""
    page = render_page(RunReport(rows, ORIGIN, phrases))
    return f"{len(page.encode()) / 1e6:.2f} MB, {page.count('data:image/')} pictures"


@click.command()
@click.option("--studies", default=1000, show_default=True, type=click.IntRange(min=1))
@click.option("--labels", default=5, show_default=True, type=click.IntRange(min=1))
def main(studies: int, labels: int) -> None:
    """Print what pages of so many studies weigh."""
    examples = [Study.from_images(path) for path in sorted(FOLDER.glob("*.jpg"))]
    pictures = [make_small_pictures(one, ["frontal"]) for one in examples]
    maps = [make_map(one, seed) for seed, one in enumerate(examples)]
    scores = np.random.default_rng(0).random((studies, labels))
    thresholds = {f"pleural effusion {number}": 0.5 for number in range(labels)}

    def make_rows(extra: Callable[[int], dict[str, object]]) -> list[ReportRow]:
        read = {**READ, "pixels_sha256": {"frontal": "0123456789abcdef" * 4}}
        named = [dict(zip(thresholds, map(float, row), strict=True)) for row in scores]
        return [ReportRow(one, ("frontal",), thresholds, origin=read, **extra(n)) for n, one in enumerate(named)]  # type: ignore[arg-type]

    turn = [place for place, _ in zip(cycle(range(len(examples))), range(studies), strict=False)]
    click.echo(f"{studies} studies, {labels} labels with thresholds")
    click.echo(f"scores alone        {weigh(make_rows(lambda _: {}))}")
    click.echo(f"--with-pictures     {weigh(make_rows(lambda n: {'pictures': pictures[turn[n]]}))}")
    click.echo(f"--locate            {weigh(make_rows(lambda n: {'maps': [maps[turn[n]]]}), ('opacity',))}")


if __name__ == "__main__":
    main()
