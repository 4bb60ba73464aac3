"""How long does `alta validate` take beside scoring the same studies?

    python benchmarks/validation_time.py NAME.alta --data ../shared/data/nih_cxr/metadata.csv [--split test]

Each round scores the radiographs of a split with `Matcher.zero_shot` in a fresh process, and validates them with
`alta validate` in another, for four findings, with page and CSV, two threads each. Prints processor and wall seconds of
both and the ratio of the medians; start, imports and the opening of the engine are in both.
"""

import csv
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

FINDINGS = {"pneumonia": "Pneumonia", "pleural effusion": "Effusion", "infiltration": "Infiltration", "edema": "Edema"}
SCORE = """
import csv, sys
from alta_sdk import Matcher
rows = list(csv.DictReader(open(sys.argv[1], encoding="utf-8")))
with Matcher(sys.argv[2], threads=2) as matcher:
    matcher.zero_shot([row["study"] for row in rows], sys.argv[3].split("|"))
"""
VALIDATE = "from alta_sdk.cli import main; main()"


def write_table(data: Path, split: str, table: Path) -> int:
    """Write the table of a split, each finding against No Finding; return the number of studies."""
    with data.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == split]
    lines = []
    for row in rows:
        found = row["findings"].split("|")
        truth = ["1" if name in found else "0" if found == ["No Finding"] else "" for name in FINDINGS.values()]
        if any(truth):
            path = (data.parent / "images" / row["image"]).resolve()
            lines.append([str(path), row["patient"], row["view"], row["sex"], row["age"], *truth])
    with table.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["study", "patient", "view", "sex", "age", *FINDINGS], *lines])
    return len(lines)


def run_timed(*arguments: str) -> tuple[float, float]:
    """Run a fresh Python; return processor and wall seconds."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([sys.executable, "-c", *arguments], capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise click.ClickException(done.stderr.strip().splitlines()[-1])
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


@click.command()
@click.argument("engine", type=click.Path(exists=True))
@click.option("--data", required=True, type=click.Path(exists=True, path_type=Path), help="metadata.csv of the images.")
@click.option("--split", default="test", show_default=True)
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(min=1))
def main(engine: str, data: Path, split: str, rounds: int) -> None:
    """Compare the time of a validation with that of scoring the same studies."""
    times: dict[str, list[tuple[float, float]]] = {"score": [], "validate": []}
    with tempfile.TemporaryDirectory() as place:
        os.environ["XDG_CONFIG_HOME"] = place  # the site key that is made there goes with it
        table, page, figures = (str(Path(place) / name) for name in ("table.csv", "page.html", "figures.csv"))
        count = write_table(data, split, Path(table))
        files = ["--html", page, "--csv", figures, "--overwrite", "--threads", "2"]
        for _ in range(rounds):
            times["score"].append(run_timed(SCORE, table, engine, "|".join(FINDINGS)))
            times["validate"].append(run_timed(VALIDATE, "validate", table, "--engine", engine, *files))
    medians = {name: [statistics.median(part) for part in zip(*own, strict=True)] for name, own in times.items()}
    for name, (processor, wall) in medians.items():
        click.echo(
            f"{name:9} {count} studies, {len(FINDINGS)} findings: {processor:.1f} s processor, {wall:.1f} s wall"
        )
    ratios = [after / before for after, before in zip(medians["validate"], medians["score"], strict=True)]
    click.echo(f"validate / score: {ratios[0]:.2f} processor, {ratios[1]:.2f} wall")


if __name__ == "__main__":
    main()
