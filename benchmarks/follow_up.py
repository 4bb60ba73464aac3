"""Time a radiograph and a follow-up study at BioViL-T's published size: every precision and runtime that works here
against the same towers in eager PyTorch, all in one run and in turn.

The image model's weights are drawn by the rule of the seeds (`seeded_weights.py`), so the numbers of the embeddings
mean nothing, but how far a precision drifts from FP32 is measured. The text model beside it is a narrow one: no
prompt is timed. Engines are exported as a user would, INT8 calibrated on four fifths of the images and gated on the
rest, and asked through the SDK: hashing and the cache are in the times, reading files is not.

    python benchmarks/follow_up.py --images ../shared/data/nih_cxr/images [--seeds ../shared/seeds] [--rounds 11]
"""

import contextlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click
import numpy as np
import torch

from alta_export.options import ExportOptions
from alta_export.pipeline import export_engine
from alta_runtimes import RuntimeUnavailable, available
from alta_sdk import Engine, Slot
from alta_sdk.bench.timing import WARM_UPS, time_in_turn
from alta_sdk.cli.terminal import fail_in_one_line, print_facts, print_table, say
from alta_sdk.dicom.intensity import MINMAX
from alta_sdk.dicom.view_words import View
from alta_sdk.engine.processor import processor_name
from alta_sdk.engine.vectors import Vector, to_unit_length
from alta_sdk.errors import ExportError
from alta_sdk.study.radiograph import Radiograph, read_picture
from alta_training.families.biovil_image import BiovilTImage
from alta_training.families.checkpoint import read_checkpoint
from alta_training.families.registry import recognise

PRECISIONS = ("fp32", "bf16", "int8")
STUDIES = 64  # to calibrate and to gate with
COMPARED = 8
MARKED_PX = 8  # half the side of the square by which radiographs differ
EAGER = "eager PyTorch"
KINDS = ("radiograph", "prior seen", "prior unseen")
TARGET = 1.15  # times one radiograph, of a follow-up study whose prior was seen
PATH = click.Path(exists=True, file_okay=False, path_type=Path)
Clock = Callable[[], float]
Pair = tuple[Radiograph, Radiograph]  # a current radiograph and its prior


@dataclass(frozen=True)
class Row:
    """One precision in one runtime: median milliseconds by kind, ratios to one radiograph and to eager PyTorch.

    ratio: of a study whose prior was seen. faster: times as fast as eager, by kind. alone, paired: worst cosines.
    """

    precision: str
    runtime: str
    median_ms: dict[str, float]
    ratio: float
    faster: dict[str, float]
    alone: float
    paired: float

    def list_cells(self) -> list[str]:
        """Return the row of the table."""
        times = [f"{self.median_ms[kind]:.1f} ({self.faster[kind]:.2f})" for kind in KINDS]
        return [self.precision, self.runtime, *times, f"{self.ratio:.3f}", f"{self.alone:.6f}", f"{self.paired:.6f}"]


def draw_checkpoint(seeds: Path, folder: Path) -> Path:
    """Write the image model of the published size, by rule, under its published name."""
    sys.path.insert(0, str(seeds))
    from seeded_weights import draw_state

    facts = json.loads((seeds / "biovil" / "golden.json").read_text(encoding="utf-8"))
    weights = draw_state(facts["full_shapes"], facts["seed"])
    path = folder / "biovil_t_image_model_proj_size_128.pt"
    torch.save({name: torch.from_numpy(array) for name, array in weights.items()}, path)
    return path


def make_pairs(images: Sequence[Path], count: int, engine: Engine) -> list[Pair]:
    """Make pairs that no engine has seen, in the engine's own geometry: each has a centre of its own."""
    grey = [read_picture(path, View.FRONTAL, MINMAX).pixels_for(engine.geometry) for path in images[: 2 * COMPARED]]
    made = []
    for number in range(2 * count):
        pixels = grey[number % len(grey)].copy()
        centre = tuple(slice(side // 2 - MARKED_PX, side // 2 + MARKED_PX) for side in pixels.shape)
        pixels[centre] = number % 256
        made.append(read_picture(pixels, View.FRONTAL, MINMAX))
        made[-1].pixels_for(engine.geometry)  # kept with it: resizing is no part of a run
    return list(zip(made[::2], made[1::2], strict=True))


def run_engine(engine: Engine, kind: str, pairs: Iterator[Pair]) -> None:
    """Score the next pair's images as a study of a kind; a prior that was seen costs nothing then."""
    current, prior = next(pairs)
    if kind == KINDS[0]:
        engine.encode_radiograph(current, Slot.FRONTAL)
    else:
        engine.encode_with_prior(current, prior)


def run_towers(tower: BiovilTImage, pixels: torch.Tensor, seen: torch.Tensor, kind: str) -> None:
    """Do the same with the published towers: pixels (2, 1, px, px) uint8, seen: the prior's features."""
    with torch.inference_mode():
        if kind == KINDS[2]:
            both = tower.static(pixels)
            tower.project(both[:1], both[1:])
        else:
            tower.project(tower.static(pixels[:1]), seen if kind == KINDS[1] else None)


def show_priors(engine: Engine, pairs: Sequence[Pair]) -> Iterator[Pair]:
    """Let an engine see the priors, and give the pairs back."""
    for _, prior in pairs:
        engine.encode_radiograph(prior, Slot.FRONTAL)
    return iter(pairs)


def embed(engine: Engine, pairs: Sequence[Pair]) -> tuple[Vector, Vector]:
    """Return the unit vectors of current radiographs alone, and beside their priors."""
    alone = [engine.encode_radiograph(current, Slot.FRONTAL) for current, _ in pairs]
    return to_unit_length(np.stack(alone)), to_unit_length(
        np.stack([engine.encode_with_prior(*pair) for pair in pairs])
    )


def export_all(checkpoint: Path, text: Path, images: Sequence[Path], folder: Path) -> dict[str, Path]:
    """Export the engine in every precision; one that its gate refuses, or that does not run here, is told and left."""
    shown = folder / "studies"
    shown.mkdir()
    for number, image in enumerate(images[:STUDIES]):
        (shown / f"{number:03}{image.suffix}").symlink_to(image.resolve())
    engines = {}
    for precision in PRECISIONS:
        output = folder / f"{precision}.alta"
        options = ExportOptions(checkpoint, text, output, precision=precision, calibration=shown)
        try:
            report = export_engine(options, lambda _: contextlib.nullcontext())
        except (ExportError, RuntimeUnavailable) as error:
            say(f"{precision}: {error}")
            continue
        say(f"exported {precision}, gate: {report.lowered.drift.list_cosines()}")
        engines[precision] = output
    return engines


def open_all(engines: dict[str, Path], threads: int) -> dict[tuple[str, str], Engine]:
    """Open each engine in every runtime that works here."""
    opened = {}
    for precision, path in engines.items():
        for runtime in ("onnxruntime", "openvino"):
            with contextlib.suppress(RuntimeUnavailable):
                opened[precision, runtime] = Engine.open(path, runtime=runtime, threads=threads)
    return opened


def measure(
    tower: BiovilTImage, engines: dict[tuple[str, str], Engine], images: Sequence[Path], rounds: int, clock: Clock
) -> list[Row]:
    """Time all in turn by a clock, and compare the embeddings with those of the towers."""
    first = next(iter(engines.values()))
    (timed, *compared) = make_pairs(images, 1 + COMPARED, first)
    pixels = torch.from_numpy(np.stack([one.pixels_for(first.geometry) for one in timed])[:, None])
    with torch.inference_mode():
        seen = tower.static(pixels[1:])
        stacked = [
            torch.from_numpy(np.stack([pair[place].pixels_for(first.geometry) for pair in compared])[:, None])
            for place in (0, 1)
        ]
        now, before = (tower.static(one) for one in stacked)
        truth = [to_unit_length(tower.project(now, prior)[0].numpy()) for prior in (None, before)]
    runs: dict[str, Callable[[], object]] = {f"{EAGER}/{k}": partial(run_towers, tower, pixels, seen, k) for k in KINDS}
    rows = []
    # No two kinds share a radiograph: the cache would spare one of them the work.
    count = rounds + WARM_UPS
    own = {kind: make_pairs(images[place + 1 :], count, first) for place, kind in enumerate(KINDS)}
    for key, engine in engines.items():
        for kind in KINDS:
            given = show_priors(engine, own[kind]) if kind == KINDS[1] else iter(own[kind])
            runs["/".join((*key, kind))] = partial(run_engine, engine, kind, given)
    times = time_in_turn(runs, rounds, clock=clock)
    for key, engine in engines.items():
        mine = {kind: times["/".join((*key, kind))] for kind in KINDS}
        cosines = [
            float((one * other).sum(axis=1).min()) for one, other in zip(truth, embed(engine, compared), strict=True)
        ]
        rows.append(
            Row(
                *key,
                median_ms={kind: 1e3 * statistics.median(values) for kind, values in mine.items()},
                ratio=compare(mine[KINDS[1]], mine[KINDS[0]]),
                faster={kind: compare(times[f"{EAGER}/{kind}"], values) for kind, values in mine.items()},
                alone=cosines[0],
                paired=cosines[1],
            )
        )
    return [make_eager_row(times), *rows]


def make_eager_row(times: dict[str, list[float]]) -> Row:
    """Return the row of the towers themselves."""
    mine = {kind: times[f"{EAGER}/{kind}"] for kind in KINDS}
    medians = {kind: 1e3 * statistics.median(values) for kind, values in mine.items()}
    return Row("fp32", EAGER, medians, compare(mine[KINDS[1]], mine[KINDS[0]]), dict.fromkeys(KINDS, 1.0), 1.0, 1.0)


def compare(times: Sequence[float], others: Sequence[float]) -> float:
    """Return the median of the ratios, round by round: a drift of the machine's speed cancels."""
    return statistics.median(one / other for one, other in zip(times, others, strict=True))


@click.command()
@click.option("--images", required=True, type=PATH, help="A folder of frontal radiographs, JPEG or PNG.")
@click.option("--seeds", default="../shared/seeds", show_default=True, type=PATH, help="Where the rule of weights is.")
@click.option("--threads", default=2, show_default=True, help="Threads of each.")
@click.option("--rounds", default=11, show_default=True, type=click.IntRange(1, 100), help="Timed runs of each.")
@click.option("--processor-time", is_flag=True, help="Time a processor was used, which others of it move less.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@fail_in_one_line
def main(images: Path, seeds: Path, threads: int, rounds: int, processor_time: bool, as_json: bool) -> None:
    """Measure a radiograph, and a study with a prior that was seen or not, in every precision and runtime."""
    torch.set_num_threads(threads)
    pictures = sorted(path for path in images.iterdir() if path.suffix in (".png", ".jpg"))
    with tempfile.TemporaryDirectory() as place:
        text = next(path.parent for path in (seeds / "biovil").glob("*/config.json"))
        checkpoint = draw_checkpoint(seeds, Path(place))
        read = read_checkpoint(checkpoint)
        tower = recognise(read.weights).read(read, text, None, None).image.eval()
        assert isinstance(tower, BiovilTImage)
        engines = open_all(export_all(checkpoint, text, pictures, Path(place)), threads)
        rows = measure(tower, engines, pictures, rounds, time.process_time if processor_time else time.perf_counter)
    ratios = {f"{row.precision}, {row.runtime}": row.ratio for row in rows if row.runtime != EAGER}
    facts = {
        "processor": processor_name(),
        "threads": threads,
        "times": "of a processor" if processor_time else "by the clock",
        "torch": torch.__version__,
        **{info.name: info.version for info in available() if info.is_available},
        **{f"prior seen within {TARGET}: {name}": "met" if r <= TARGET else "MISSED" for name, r in ratios.items()},
    }
    if as_json:
        click.echo(json.dumps({"rows": [vars(row) for row in rows], **facts}, indent=1))
        return
    headings = ["precision", "runtime", *(f"{kind}, ms (times eager)" for kind in KINDS)]
    more = ["prior seen / radiograph", "worst cosine alone", "worst cosine paired"]
    print_table("BioViL-T at published size, medians", [*headings, *more], [row.list_cells() for row in rows])
    print_facts("Measured in one run, in turn, on a machine that may be shared", facts.items())


if __name__ == "__main__":
    main()
