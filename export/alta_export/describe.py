"""What the manifest of an exported engine says."""

from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from alta_sdk import __version__
from alta_sdk.engine.environment import onnxruntime_version
from alta_sdk.engine.label_sets import PROMPT_SET_VERSION
from alta_sdk.engine.manifest import BundleFile, Manifest
from alta_sdk.engine.manifest_content import LOCAL_HEADS, TUNED
from alta_sdk.engine.preprocessing import describe_geometry
from alta_sdk.engine.processor import processor_name
from alta_sdk.engine.self_test import Drift
from alta_sdk.engine.tuning import Tuning
from alta_training.families.family import Family, Towers

from .calibration import Calibration
from .evidence import tell_lack
from .families.merged import MergedEngine
from .graph import IR_VERSION, OPSET, count_operators
from .lower import LoweredEngine
from .options import RUNTIMES, ExportOptions, read_stated_date
from .reading import Source
from .tensorrt_graph import describe_plans
from .verify import LIMITS, PROMPTS, RADIOGRAPHS

DISCLAIMER = "Not for clinical use."
UNSTATED_TRAINING = "not stated in the checkpoint"


def describe_engine(
    options: ExportOptions,
    source: Source,
    merged: MergedEngine,
    drifts: list[Drift],
    lowered: LoweredEngine,
    self_test_limits: dict[str, dict[str, float]],
    local_heads: dict[str, Any] | None,
    tuning: Tuning | None = None,
) -> Callable[[tuple[BundleFile, ...]], Manifest]:
    """Return a function that makes the manifest once the files are known.

    With a stated date nothing in it depends on when it was made: not its date, nor how fast the machine was then.
    """
    date = read_stated_date()
    towers, stated = source.towers, source.checkpoint.metadata
    family, licence = source.family, source.export.unstated_licence or source.family.licence
    beyond = lowered.gate["beyond_limits"]
    lack = tell_lack(lowered.gate["evidence"], options.precision, lowered.drift.radiographs)
    measured = (lack, f"DRIFT ACCEPTED: {', '.join(beyond)}." if beyond else "")
    notices = (*((stated["notice"],) if "notice" in stated else ()), *filter(None, measured), DISCLAIMER)

    def make(files: tuple[BundleFile, ...]) -> Manifest:
        return Manifest(
            name=options.name or options.output.stem,
            created=(date or datetime.now(UTC)).isoformat(timespec="seconds"),
            sdk_version=__version__,
            source=towers.provenance,
            **describe_family(family),
            **describe_towers(towers, merged),
            sizes=towers.sizes,
            preprocessing={
                "intensity_profile": options.intensity_profile,
                **describe_geometry(towers.geometry),
                **merged.pixel_scaling,
                "folded_into_graph": True,
                "prompt_sets": PROMPT_SET_VERSION,
            },
            fusion_mode=options.fusion_mode or towers.default_fusion_mode,
            logit_scale=towers.logit_scale,
            engine={
                "runtime": RUNTIMES[options.engine],
                "precision": options.precision,
                "opset": OPSET,
                "ir_version": IR_VERSION,
                **{f"{name}_operators": count_operators(graph) for name, graph in lowered.models.items()},
                **{f"{name}_precision": found.describe() for name, found in lowered.graphs.items()},
                "calibration": describe_calibration(lowered.calibration),
                **({} if local_heads is None else {LOCAL_HEADS: local_heads}),
                **({} if tuning is None else {TUNED: tuning.describe()}),
                "milliseconds_per_radiograph": {} if date else lowered.milliseconds,
                "built_on": {
                    "processor": processor_name(),
                    **{name: version(name) for name in ("torch", "onnx")},
                    "onnxruntime": onnxruntime_version(),
                },
                **describe_plans(options, lowered.models, towers.sizes["max_tokens"]),
            },
            merging=merged.merging,
            verification={
                "reference": merged.reference,
                "radiographs": RADIOGRAPHS,
                "prompts": PROMPTS,
                **self_test_limits,
                "merging_limits": LIMITS,
                "drift": {d.output: {"worst_cosine": d.worst_cosine, "max_abs": d.max_abs} for d in drifts},
                "gate": lowered.gate,
            },
            licence=stated.get("licence", licence),
            training_data=stated.get("training_data", UNSTATED_TRAINING),
            notices=notices,
            files=files,
        )

    return make


def describe_family(family: Family) -> dict[str, Any]:
    """Say of which family an engine is, how it is asked, and what was published on its use, word for word."""
    return {
        "family": family.name,
        "method": family.method,
        "intended_use": family.intended_use,
        "prompt_pair": family.asking.prompt_pair,
        "logit_scale_note": family.asking.logit_scale_note,
    }


def describe_towers(towers: Towers, merged: MergedEngine) -> dict[str, Any]:
    """Say what an engine's towers fix: its graphs, and how studies and prompts are read."""
    return {
        "graphs": {name: merged.describe_graph(name) for name in merged.graphs},
        "head": merged.head.kind,
        "slots": merged.slots,
        **{name: getattr(towers, name) for name in ("fusion_modes", "prompt_rule", "prompt_average", "patch_match")},
    }


def describe_calibration(calibration: Calibration | None) -> dict[str, Any]:
    """Say how the ranges were found; nothing of the studies but their number."""
    if calibration is None:
        return {}
    smoothed = {f"smoothed_{graph}_norms": len(factors) for graph, factors in calibration.smoothing.items()}
    return {**{name: getattr(calibration, name) for name in ("method", "radiographs", "prompts")}, **smoothed}
