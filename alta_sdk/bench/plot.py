"""A picture of speed against drift, and of throughput by batch: one PNG for several engines."""

import io
import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import RuntimeUnavailable
from ..files.spelling import spell
from ..files.targets import check_target, write_target
from .measure import Latency, Throughput

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAKER = "alta bench"
SMALLEST_DRIFT = 1e-8  # what float32 cosines can tell: less is drawn here
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # told apart by colour-blind eyes
MARKERS = "osD^vP"


def check_plot(path: Path, *, overwrite: bool) -> None:
    """Raise RuntimeUnavailable if matplotlib is not installed, AltaError if the picture cannot go there."""
    if find_spec("matplotlib") is None:
        raise RuntimeUnavailable("--plot needs matplotlib: pip install 'alta-sdk[plot]'")
    check_target(path, "plot", overwrite=overwrite, is_ours=is_plot)


def is_plot(head: bytes) -> bool:
    """Tell by its first bytes whether a file is such a picture."""
    return head.startswith(b"\x89PNG") and b"tEXtSoftware\0" + MAKER.encode() in head


def draw_speed(
    path: str | os.PathLike[str],
    machine: str,
    latencies: Sequence[Latency],
    throughput: Sequence[Throughput],
    *,
    overwrite: bool = False,
) -> None:
    """Write a PNG: drift over time per radiograph, and radiographs per second over the batch.

    machine: the line under the picture that says where it was measured.
    Raises AltaError if the file cannot be written. Ask `check_plot` before the measuring.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    drift, rates = figure.subplots(1, 2)
    _draw_drift(drift, latencies)
    _draw_throughput(rates, throughput)
    figure.supxlabel(machine, fontsize=8)
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=150, metadata={"Software": MAKER})
    write_target(Path(path), data.getvalue(), "plot", overwrite=overwrite, is_ours=is_plot)


def _spell(label: str) -> str:
    """Return a label that is drawn as it is: a dollar would begin a formula."""
    return spell(label).replace("$", r"\$")


def _draw_drift(axes: "Axes", latencies: Sequence[Latency]) -> None:
    for number, row in enumerate(latencies):
        drift = max(1 - row.worst_cosine, SMALLEST_DRIFT)
        label = _spell(f"{row.name}, {row.precision}, {row.runtime}")
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        axes.plot(row.p50_ms, drift, marker, color=colour, markersize=9, label=label)
        axes.plot([row.p50_ms, row.p95_ms], [drift, drift], "-", color=colour, linewidth=1)
    axes.set_xlim(left=0)
    axes.set_yscale("log")
    axes.set_ylim(SMALLEST_DRIFT / 3, 1)
    axes.set_xlabel("one radiograph, ms (median, line to the 95th percentile)")
    axes.set_ylabel("drift: 1 - worst cosine with FP32 PyTorch")
    axes.set_title("Speed against drift: lower left is better")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


def _draw_throughput(axes: "Axes", throughput: Sequence[Throughput]) -> None:
    lines = list(dict.fromkeys((row.name, row.runtime, row.threads) for row in throughput))
    engines = list(dict.fromkeys(line[:2] for line in lines))
    for name, runtime, threads in lines:
        own = [row for row in throughput if (row.name, row.runtime, row.threads) == (name, runtime, threads)]
        colour = COLOURS[engines.index((name, runtime)) % len(COLOURS)]
        is_most = threads == max(line[2] for line in lines)
        axes.plot(
            [row.batch for row in own],
            [row.radiographs_per_s for row in own],
            "o-" if is_most else "o--",
            color=colour,
            alpha=1 if is_most else 0.6,
            label=_spell(f"{name}, {runtime}, {threads} thread{'s' if threads > 1 else ''}"),
        )
    axes.set_xscale("log", base=2)
    axes.set_xticks(sorted({row.batch for row in throughput}), [str(b) for b in sorted({r.batch for r in throughput})])
    axes.set_ylim(bottom=0)
    axes.set_xlabel("radiographs in a batch")
    axes.set_ylabel("radiographs per second")
    axes.set_title("Throughput")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
