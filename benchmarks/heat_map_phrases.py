"""Do heat maps depend on the phrase? That can be checked without boxes, which our data lack.

A map that shows where a finding is differs between findings, and between left and right. For each radiograph
the maps of several phrases are compared: a correlation of 1 says that they are one map, whatever was asked.

    python benchmarks/heat_map_phrases.py NAME.alta --data ../shared/data/nih_cxr/metadata.csv [--split test]
"""

from itertools import combinations
from pathlib import Path

import click
import numpy as np

from alta_sdk import AltaError, Matcher
from alta_sdk.cli.terminal import fail_in_one_line, print_facts
from alta_sdk.files.tables import read_rows

SIDES = ("There is an opacity in the left lung.", "There is an opacity in the right lung.")
FINDINGS = ("There is cardiomegaly.", "There is a pleural effusion.", "There is pneumonia.", "There is a pneumothorax.")


def correlate(maps: list[np.ndarray]) -> list[float]:
    """Return the correlation of each pair of maps (patches,)."""
    return [float(np.corrcoef(one, other)[0, 1]) for one, other in combinations(maps, 2)]


@click.command()
@click.argument("engine", type=click.Path())
@click.option("--data", required=True, type=click.Path(path_type=Path), help="metadata.csv with image and split.")
@click.option("--split", default="test", show_default=True, help="Its rows to take.")
@fail_in_one_line
def main(engine: str, data: Path, split: str) -> None:
    """Measure how much the heat maps of an engine depend on the phrase."""
    rows = read_rows(data, ("image", "split"), error=AltaError, name="table of radiographs")
    paths = [data.parent / "images" / row["image"] for row in rows if row["split"] == split]
    matcher = Matcher(engine)
    findings: list[float] = []
    sides: list[float] = []
    ranges: list[float] = []
    for path in paths:
        maps = {phrase: matcher.locate(path, phrase) for phrase in (*FINDINGS, *SIDES)}
        findings += correlate([maps[phrase].patches.ravel() for phrase in FINDINGS])
        sides += correlate([maps[phrase].patches.ravel() for phrase in SIDES])
        ranges += [one.limits[1] - one.limits[0] for one in maps.values()]
    facts = [
        ("radiographs", len(paths)),
        ("correlation of maps of two findings", f"median {np.median(findings):.3f}, lowest {min(findings):.3f}"),
        ("correlation of maps of left and right", f"median {np.median(sides):.3f}, lowest {min(sides):.3f}"),
        ("highest minus lowest similarity of a map", f"median {np.median(ranges):.3f}"),
    ]
    print_facts(f"Heat maps of {matcher.engine.manifest.name}", facts)


if __name__ == "__main__":
    main()
