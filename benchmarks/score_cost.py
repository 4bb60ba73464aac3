"""What does `alta score FOLDER` cost beside an earlier commit of this repository? Both trees, in turn, in one run.

    python benchmarks/score_cost.py FOLDER NAME.alta --before COMMIT [--rounds 11] [--json]

Each round runs the command once from the earlier tree and once from this one, with the same interpreter, engine and
folder, and takes the processor time of the whole process and its decode workers (user and system): on a shared
machine that moves less than the clock. Scores of both must be the same. Prints medians, and the median and the spread
of the ratios within a round. Not on Windows.
"""

import io
import json
import os
import resource
import statistics
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[1]
LABELS = "pneumonia, pleural effusion, cardiomegaly"
RUN = "from alta_sdk.cli import main; main()"


def extract(commit: str, folder: Path) -> Path:
    """Write a commit's tree into a folder."""
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")
    return folder


def run_score(tree: Path, folder: Path, engine: Path) -> tuple[float, list[object]]:
    """Score a folder with a tree's own code; return processor seconds and the scores."""
    path = os.pathsep.join(str(tree / part) for part in ("", "runtimes"))
    given = [str(folder.resolve()), "--engine", str(engine.resolve()), "--labels", LABELS, "--json"]
    command = [sys.executable, "-P", "-c", RUN, "score", *given]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise click.ClickException(f"alta score failed: {done.stderr.strip().splitlines()[-1]}")
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return spent, [study["scores"] for study in json.loads(done.stdout)["studies"]]


@click.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.argument("engine", type=click.Path(exists=True, path_type=Path))
@click.option("--before", required=True, metavar="COMMIT", help="The earlier commit.")
@click.option("--rounds", default=11, show_default=True, type=click.IntRange(min=1))
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def main(folder: Path, engine: Path, before: str, rounds: int, as_json: bool) -> None:
    """Compare the processor time of `alta score FOLDER` of this tree with that of an earlier commit."""
    with tempfile.TemporaryDirectory() as place:
        earlier = extract(before, Path(place))
        seconds: dict[str, list[float]] = {"before": [], "now": []}
        for number in range(rounds + 1):  # the first round warms the disk's cache, and is not counted
            (spent, scores), (now, same) = (run_score(tree, folder, engine) for tree in (earlier, ROOT))
            if scores != same:
                raise click.ClickException("the scores differ: this compares unlike with unlike")
            if number:
                seconds["before"].append(spent)
                seconds["now"].append(now)
    ratios = sorted(now / spent for spent, now in zip(*seconds.values(), strict=True))
    facts = {
        "studies": len(scores),
        "rounds": rounds,
        "before_s": round(statistics.median(seconds["before"]), 3),
        "now_s": round(statistics.median(seconds["now"]), 3),
        "ratio": round(statistics.median(ratios), 4),
        "least": round(ratios[0], 4),
        "most": round(ratios[-1], 4),
    }
    if as_json:
        click.echo(json.dumps(facts, indent=1))
        return
    click.echo(f"{facts['studies']} studies, {rounds} rounds, processor seconds of the whole process:")
    click.echo(f"before {facts['before_s']}, now {facts['now_s']}; now / before {facts['ratio']}")
    click.echo(f"ratios of single rounds {facts['least']} to {facts['most']}")


if __name__ == "__main__":
    main()
