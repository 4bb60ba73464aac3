"""Does few-shot learning help? Studies of the validation patients teach, those of the test patients are scored.

python benchmarks/few_shot.py --engine build/demo.alta --table ../shared/data/nih_cxr/metadata.csv
"""

from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from alta_sdk import Matcher
from alta_sdk.engine.vectors import Vector
from alta_sdk.matching.few_shot import fit_vectors
from alta_sdk.matching.prompts import make_pair
from alta_sdk.matching.scoring import average_prompts
from alta_sdk.statistics.auc import compute_auc
from alta_training.data.labelled import read_labelled


@dataclass(frozen=True, eq=False)
class Split:
    """Unit vectors (n, d), truth (n,) bool and patient (n,) of the radiographs of one split."""

    vectors: Vector
    truth: NDArray[np.bool_]
    patients: NDArray[np.str_]


WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)


@click.command()
@click.option("--engine", required=True, type=click.Path(path_type=Path))
@click.option("--table", required=True, type=click.Path(path_type=Path))
@click.option("--finding", "findings", multiple=True, default=("Pneumonia", "Effusion", "Edema", "Infiltration"))
@click.option("--draws", default=100, show_default=True, help="Random choices of the given studies.")
@click.option("--resamples", default=1000, show_default=True, help="Bootstrap draws of test patients.")
def main(engine: Path, table: Path, findings: tuple[str, ...], draws: int, resamples: int) -> None:
    """Print the mean test AUC over draws by weight, and the gain over text alone with its 95 % interval.

    The interval is over test patients and over draws of given studies at once. Weight 0 is the text alone,
    1 the prototypes alone; "left out" takes the weight that does best when each given study is left out.
    """
    matcher = Matcher(engine)
    print(f"{'finding':14}{'test':>10}{'n':>4}" + "".join(f"{w:>8}" for w in WEIGHTS) + "  left out   gain at 0.5")
    for finding in findings:
        taught, tested = (embed_split(matcher, table, split, finding) for split in ("val", "test"))
        pair = make_pair(finding.lower(), matcher.engine.manifest.prompt_pair)
        average = matcher.engine.manifest.prompt_average
        text = [average_prompts(matcher.engine.project_prompts(p), average) for p in (pair.positive, pair.negative)]
        for shots in (4, 8, 16, 32):
            if min(taught.truth.sum(), (~taught.truth).sum()) >= shots:
                print(f"{finding:14}{measure(shots, text, taught, tested, draws, resamples)}", flush=True)


def embed_split(matcher: Matcher, table: Path, split: str, finding: str) -> Split:
    """Embed the radiographs of one split that show the finding, or nothing."""
    radiographs = read_labelled(table, split=split, finding=finding)
    return Split(
        np.stack([matcher.embed(one.path).vector for one in radiographs]),
        np.array([one.is_positive for one in radiographs]),
        np.array([one.patient for one in radiographs]),
    )


def measure(shots: int, text: list[Vector], taught: Split, tested: Split, draws: int, resamples: int) -> str:
    """Return the cells of one line of the table."""
    generator = np.random.default_rng(0)
    scores, chosen = [], []
    for _ in range(draws):
        given = [
            taught.vectors[generator.choice(np.flatnonzero(kind), shots, replace=False)]
            for kind in (taught.truth, ~taught.truth)
        ]
        fits = [fit_vectors(text[0], text[1], given[0], given[1], weight) for weight in WEIGHTS]
        scores.append([tested.vectors @ fit.direction for fit in fits])
        chosen.append(int(np.argmax([fit.separation for fit in fits])))
    aucs = np.array([[compute_auc(row, tested.truth) for row in draw] for draw in scores])
    groups = [np.flatnonzero(tested.patients == patient) for patient in np.unique(tested.patients)]
    gains: list[float] = []
    while len(gains) < resamples:
        rows = np.concatenate([groups[g] for g in generator.integers(0, len(groups), len(groups))])
        if 0 < tested.truth[rows].sum() < len(rows):
            draw = scores[generator.integers(0, draws)]
            mixed, plain = (compute_auc(draw[at][rows], tested.truth[rows]) for at in (WEIGHTS.index(0.5), 0))
            gains.append(mixed - plain)
    low, high = np.quantile(gains, [0.025, 0.975])
    counts = f"{int(tested.truth.sum())}/{len(tested.truth)}"
    means = "".join(f"{value:8.3f}" for value in aucs.mean(axis=0))
    gain = aucs[:, WEIGHTS.index(0.5)].mean() - aucs[:, 0].mean()
    left_out = aucs[np.arange(draws), chosen].mean()
    return f"{counts:>10}{shots:4}{means}{left_out:10.3f}   {gain:+.3f} ({low:+.3f} to {high:+.3f})"


if __name__ == "__main__":
    main()
