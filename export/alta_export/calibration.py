"""A calibration: the ranges of the graphs' products and their smoothing, kept as calibration.json and tied to a
checkpoint.

It holds numbers by layer and no pixel, prompt, path or name of a study.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx

from alta_runtimes import load
from alta_sdk.engine.manifest_content import FUSE, IMAGE, TEXT
from alta_sdk.errors import CalibrationError
from alta_sdk.files.atomic import new_file
from alta_sdk.files.opening import read_text

from .answers import pair_with_next, see
from .options import METHODS
from .quantize import list_ranged_tensors
from .radiographs import Radiographs
from .ranges import Arrays, measure_ranges
from .smooth import SmoothingFactors, choose_smoothing, find_foldable_norms, fold_smoothing

SCHEMA_VERSION = 2  # 2: with smoothing
GraphRanges = dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Calibration:
    """What INT8 needs of radiographs and prompts.

    ranges: by graph and layer, as `list_ranged_tensors` names them, smoothed as below. radiographs, prompts: how many
    were seen. smoothing: factors per channel by graph and layer; none where they do not help.
    """

    checkpoint_sha256: str
    method: str
    radiographs: int
    prompts: int
    ranges: dict[str, GraphRanges]
    smoothing: dict[str, SmoothingFactors]
    schema_version: int = SCHEMA_VERSION

    def render(self) -> bytes:
        """Return the text of calibration.json."""
        return (json.dumps(asdict(self), indent=1, sort_keys=True, allow_nan=False) + "\n").encode()

    def smooth(self, graphs: dict[str, onnx.ModelProto]) -> dict[str, onnx.ModelProto]:
        """Return the FP32 graphs that the ranges belong to."""
        smoothed = (name for name, found in self.smoothing.items() if found)  # the others need no copy: they are large
        return graphs | {name: fold_smoothing(graphs[name], self.smoothing[name]) for name in smoothed}

    def keep(self, path: Path) -> None:
        """Write calibration.json for the next export, if it is not there; raise CalibrationError if it cannot be."""
        if os.path.isfile(path):  # this one was read, or another export wrote it meanwhile
            return
        try:
            with new_file(path, overwrite=False) as temporary:
                temporary.write_bytes(self.render())
        except FileExistsError:
            return
        except OSError as error:
            raise CalibrationError(f"{path.name} cannot be written: {error.strerror}") from error


def calibrate(
    graphs: dict[str, onnx.ModelProto],
    radiographs: Radiographs,
    prompts: list[Arrays],
    method: str,
    checkpoint_sha256: str,
) -> Calibration:
    """Run the FP32 graphs on radiographs, one at a time, and on token batches of prompts; keep the ranges.

    A fuse graph is run on each radiograph beside the next one.
    Raises CalibrationError if a range is not one of finite numbers.
    """
    ranges: dict[str, GraphRanges] = {}
    smoothing: dict[str, SmoothingFactors] = {}
    given: dict[str, list[Arrays]] = {IMAGE: list(radiographs.inputs()), TEXT: prompts}
    if FUSE in graphs:
        session = load(graphs[IMAGE].SerializeToString(), runtime="onnxruntime")
        given[FUSE] = pair_with_next(see(session, given[IMAGE]).features)
    for name, inputs in given.items():
        plain = measure_ranges(graphs[name], inputs, method)
        _check_ranges({name: plain})
        smoothing[name], chosen = choose_smoothing(graphs[name], plain, inputs, method)
        ranges[name] = dict(chosen)
    seen = sum(len(batch["input_ids"]) for batch in prompts)
    return Calibration(checkpoint_sha256, method, len(radiographs), seen, ranges, smoothing)


def read_calibration(path: Path, checkpoint_sha256: str, graphs: dict[str, onnx.ModelProto]) -> Calibration:
    """Read a calibration.json made for this checkpoint.

    Raises CalibrationError if it is not there, damaged, of another checkpoint or of other layers.
    """
    try:
        content = json.loads(read_text(path))
        ranges = {
            name: {layer: (float(low), float(high)) for layer, (low, high) in content["ranges"][name].items()}
            for name in graphs
        }
        smoothing = {
            name: {
                layer: [float(factor) for factor in factors] for layer, factors in content["smoothing"][name].items()
            }
            for name in graphs
        }
        calibration = Calibration(**{**content, "ranges": ranges, "smoothing": smoothing})
        _check_ranges(ranges)
    except FileNotFoundError as error:
        raise CalibrationError(f"{path.name} not found: give the calibration.json of an earlier export") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CalibrationError(f"{path.name} is not a calibration: calibrate again with --calibration") from error
    if calibration.schema_version != SCHEMA_VERSION or calibration.method not in METHODS:
        raise CalibrationError(f"{path.name} is of another version of alta-sdk: calibrate again with --calibration")
    if calibration.checkpoint_sha256 != checkpoint_sha256:
        raise CalibrationError(f"{path.name} was made for another checkpoint: calibrate again with --calibration")
    for name in graphs:
        if calibration.ranges[name].keys() != list_ranged_tensors(graphs[name]).keys():
            raise CalibrationError(f"{path.name} names other layers than the {name} graph: calibrate again")
        _check_smoothing(path.name, graphs[name], calibration.smoothing[name])
    return calibration


def _check_ranges(ranges: dict[str, GraphRanges]) -> None:
    for graph, layers in ranges.items():
        for layer, (low, high) in layers.items():
            if not (np.isfinite(low) and np.isfinite(high) and low <= high):
                raise CalibrationError(f"{graph} {layer}: range {low:g} to {high:g} is no range; look at the studies")


def _check_smoothing(source: str, graph: onnx.ModelProto, smoothing: SmoothingFactors) -> None:
    norms = find_foldable_norms(graph)
    widths = {item.name: item.dims[0] for item in graph.graph.initializer if len(item.dims) == 1}
    for layer, factors in smoothing.items():
        fits = layer in norms and len(factors) == widths[norms[layer].node.input[1]]
        if not fits or not all(np.isfinite(factor) and factor > 0 for factor in factors):
            raise CalibrationError(f"{source} has smoothing that does not fit the graph: calibrate again")
