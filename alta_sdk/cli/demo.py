"""`alta demo`: the radiographs of the package alta-sdk-demo, scored by the engine in it.

For somebody who has the SDK and neither an engine nor a study yet. The package is data alone: it is looked for,
never imported, so that it runs no code; scores are those of `alta score` with the same engine.
"""

import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import click

from ..errors import EngineError, RuntimeUnavailable
from ..files.tables import read_rows
from ..study.naming import StudyName
from .option_groups import json_option, trust_option
from .reading import Reading
from .score import parse_labels, warn
from .show_scores import Scored, show_scores
from .terminal import fail_in_one_line, print_line, print_object, print_table

PACKAGE = "alta_sdk_demo"
LABELS = "pneumonia, pleural effusion, cardiomegaly"
INSTALL = "pip install 'alta-sdk[demo]', or in the repository make demo-wheel and pip install dist/alta_sdk_demo-*.whl"


@dataclass(frozen=True)
class Sample:
    """A radiograph of the package, and what its data set says of it."""

    path: Path
    view: str
    finding: str


@dataclass(frozen=True)
class DemoPackage:
    """Where the engine and the model's card are, and the radiographs."""

    engine: Path
    card: Path
    samples: tuple[Sample, ...]


@click.command()
@click.option("--path", "only_path", is_flag=True, help="Print where the demo engine is, for --engine; score nothing.")
@trust_option
@json_option()
@fail_in_one_line
def demo(only_path: bool, trust: str | None, as_json: bool) -> None:
    """Score two sample radiographs with the demo engine.

    Both are in a package of their own, and the engine can score other studies, too:

    \b
    pip install 'alta-sdk[demo]'
    alta score STUDY --engine "$(alta demo --path)" --labels chexpert5

    Not for clinical use.
    """
    if only_path and as_json:
        raise click.UsageError("--path goes without --json: it prints the path alone")
    package = find_package()
    if only_path:
        click.echo(os.fsencode(package.engine))  # as it is, whatever the terminal can show: for another command
        return
    results = score_samples(package, trust)
    if as_json:
        print_json(package, results)
    else:
        show_demo(package, results)


def find_package() -> DemoPackage:
    """Find the installed package. Raises RuntimeUnavailable if there is none, EngineError if a file is missing."""
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeUnavailable(f"the demo engine is not installed: {INSTALL}")
    folder = Path(spec.submodule_search_locations[0])
    engine, card, radiographs = folder / "demo.alta", folder / "MODEL_CARD.md", folder / "radiographs"
    table = radiographs / "findings.csv"
    require_files(engine / "manifest.json", card, table)
    rows = read_rows(table, ("file", "view", "finding"), error=EngineError, name=f"{table.name} of {PACKAGE}")
    samples = tuple(Sample(radiographs / row["file"], row["view"], row["finding"]) for row in rows)
    require_files(*(sample.path for sample in samples))
    return DemoPackage(engine, card, samples)


def require_files(*paths: Path) -> None:
    """Raise EngineError if the package lacks a file."""
    missing = [path.name for path in paths if not os.path.isfile(path)]
    if missing:
        raise EngineError(f"{PACKAGE} lacks {', '.join(missing)}: uninstall it, then {INSTALL}")


def score_samples(package: DemoPackage, trust: str | None = None) -> list[Scored]:
    """Score the radiographs as `alta score` does, and say the engine's notices on standard error."""
    reading = Reading(str(package.engine), trust=trust)
    matcher = reading.open_matcher()
    labels = parse_labels(LABELS)
    results = []
    for number, sample in enumerate(package.samples, start=1):
        study = reading.read(sample.path, matcher)
        results.append(Scored(StudyName(number), matcher.zero_shot(study, labels), study.explain(), study.slots))
    warn(list(results), matcher)
    return results


def print_json(package: DemoPackage, results: list[Scored]) -> None:
    """Print one JSON object: the scores of each radiograph beside what the data set says of it, and the paths."""
    studies = [
        {
            "number": one.name.number,
            "file": sample.path.name,
            "view": sample.view,
            "finding": sample.finding,
            **one.result.as_dict(),
        }
        for sample, one in zip(package.samples, results, strict=True)
    ]
    print_object({"studies": studies, "engine": str(package.engine), "card": str(package.card)})


def show_demo(package: DemoPackage, results: list[Scored]) -> None:
    """Print the scores, what the data set says, where the card is, and how to go on."""
    show_scores(results, explain=False)
    print_table(
        "What the data set says of them (mined from reports: no reference standard)",
        ["study", "radiograph", "view", "finding"],
        [(n, sample.path.name, sample.view, sample.finding) for n, sample in enumerate(package.samples, start=1)],
    )
    print_line(f"What the model was trained on and measured at: {package.card}")
    print_line(f'Go on with: alta score YOUR.dcm --engine "{package.engine}" --labels "{LABELS}"')
