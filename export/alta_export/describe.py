"""What the manifest of an exported engine says."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import torch

from alta_sdk import __version__
from alta_sdk.engine.environment import processor_name
from alta_sdk.engine.label_sets import PROMPT_SET_VERSION
from alta_sdk.engine.manifest import BundleFile, BundleGraph, Manifest
from alta_sdk.engine.manifest_content import ALTA, ALTA_CONTENT, LOCAL_HEADS, describe_alta_graphs
from alta_sdk.engine.preprocessing import describe_geometry
from alta_sdk.engine.self_test import Drift
from alta_sdk.study.geometry import ALTA_GEOMETRY
from alta_training.adapters import Adapter
from alta_training.families.checkpoint import Checkpoint
from alta_training.model import AltaModel
from alta_training.model.alta import GREY_MEAN, GREY_STD, to_model_input

from .calibration import Calibration
from .cost import measure_cost
from .families.registry import find_asking
from .graph import IR_VERSION, OPSET, count_operators
from .lower import LoweredEngine
from .options import RUNTIMES, ExportOptions, read_stated_date
from .tensorrt_graph import describe_plans
from .towers import MergedImageTower, MergedTextTower
from .verify import LIMITS, PROMPTS, RADIOGRAPHS

DISCLAIMER = "Not for clinical use."
UNSTATED_TRAINING = "not stated in the checkpoint"
TIMED_TOKENS = 32


@dataclass(frozen=True)
class FamilyStatement:
    """What the family of a checkpoint states of itself: word for word in the bundle.

    method: with the paper. licence: of the published weights, where the checkpoint itself states none.
    """

    name: str
    method: str
    licence: str
    intended_use: str


ALTA_STATEMENT = FamilyStatement(
    name=ALTA,
    method="ALTA (Lian et al., IEEE TMI 2025), adapters merged",
    licence="not stated in the checkpoint; published ALTA weights are CC BY-NC 4.0",
    intended_use=(
        "Research and evaluation of zero-shot matching of chest radiographs with text. "
        "Not for clinical use: not a medical device."
    ),
)


def describe_engine(
    options: ExportOptions,
    checkpoint: Checkpoint,
    model: AltaModel,
    merging: dict[str, Any],
    drifts: list[Drift],
    lowered: LoweredEngine,
    self_test_limits: dict[str, float],
    local_heads: dict[str, Any],
    family: FamilyStatement = ALTA_STATEMENT,
) -> Callable[[tuple[BundleFile, ...]], Manifest]:
    """Return a function that makes the manifest once the files are known.

    With a stated date nothing in it depends on when it was made: not its date, nor how fast the machine was then.
    """
    date = read_stated_date()
    stated = checkpoint.metadata
    beyond = lowered.gate["beyond_limits"]
    drifted = (f"DRIFT ACCEPTED: {', '.join(beyond)}.",) if beyond else ()
    notices = (*((stated["notice"],) if "notice" in stated else ()), *drifted, DISCLAIMER)

    def make(files: tuple[BundleFile, ...]) -> Manifest:
        return Manifest(
            name=options.name or options.output.stem,
            created=(date or datetime.now(UTC)).isoformat(timespec="seconds"),
            sdk_version=__version__,
            source={"checkpoint_sha256": checkpoint.sha256},
            method=family.method,
            **describe_family(family),
            sizes=model.sizes.describe(),
            preprocessing={
                "intensity_profile": options.intensity_profile,
                **describe_geometry(ALTA_GEOMETRY),
                "grey_mean": GREY_MEAN,
                "grey_std": GREY_STD,
                "folded_into_graph": True,
                "prompt_sets": PROMPT_SET_VERSION,
            },
            fusion_mode=options.fusion_mode,
            logit_scale=math.exp(model.logit_scale.item()),
            engine={
                "runtime": RUNTIMES[options.engine],
                "precision": options.precision,
                "opset": OPSET,
                "ir_version": IR_VERSION,
                "image_operators": count_operators(lowered.image.graph),
                "text_operators": count_operators(lowered.text.graph),
                "image_precision": lowered.image.describe(),
                "text_precision": lowered.text.describe(),
                "calibration": describe_calibration(lowered.calibration),
                LOCAL_HEADS: local_heads,
                "milliseconds_per_radiograph": {} if date else lowered.milliseconds,
                "built_on": {
                    "processor": processor_name(),
                    **{name: version(name) for name in ("torch", "onnx", "onnxruntime")},
                },
                **describe_plans(options, model.sizes.text.config.max_position_embeddings, model.sizes.image.image_px),
            },
            merging=merging,
            verification={
                "reference": "PyTorch float32, adapters in",
                "radiographs": RADIOGRAPHS,
                "prompts": PROMPTS,
                "limits": self_test_limits,
                "merging_limits": LIMITS,
                "drift": {d.output: {"worst_cosine": d.worst_cosine, "max_abs": d.max_abs} for d in drifts},
                "gate": lowered.gate,
            },
            intended_use=family.intended_use,
            licence=stated.get("licence", family.licence),
            training_data=stated.get("training_data", UNSTATED_TRAINING),
            notices=notices,
            files=files,
        )

    return make


def describe_family(family: FamilyStatement) -> dict[str, Any]:
    """Say what an engine's family fixes: its graphs and how it is asked."""
    asking = find_asking(family.name)
    stated = {name: value for name, value in ALTA_CONTENT.items() if name not in ("family", "prompt_pair")}
    return {
        **stated,
        "family": family.name,
        "graphs": {name: BundleGraph.read(graph) for name, graph in describe_alta_graphs().items()},
        "prompt_pair": asking.prompt_pair,
        "logit_scale_note": asking.logit_scale_note,
    }


def describe_calibration(calibration: Calibration | None) -> dict[str, Any]:
    """Say how the ranges were found; nothing of the studies but their number."""
    if calibration is None:
        return {}
    smoothed = {f"smoothed_{graph}_norms": len(factors) for graph, factors in calibration.smoothing.items()}
    return {**{name: getattr(calibration, name) for name in ("method", "radiographs", "prompts")}, **smoothed}


def measure_merging(model: AltaModel, image: MergedImageTower, text: MergedTextTower) -> dict[str, Any]:
    """Count parameters and multiply-adds of both towers, before and after, for one radiograph and one prompt.

    And of their adapters how many there are, and how many were left out since they add exactly nothing.
    """
    px = model.sizes.image.image_px
    grey, slot = torch.zeros(1, px, px, dtype=torch.uint8), torch.zeros(1, dtype=torch.int64)
    tokens = torch.ones(1, TIMED_TOKENS, dtype=torch.int64)
    costs = {
        "image_before": measure_cost(CostOfCls(model), to_model_input(grey), slot),
        "image_after": measure_cost(image, grey[:, None], slot),
        "text_before": measure_cost(CostOfText(model), tokens, tokens),
        "text_after": measure_cost(text, tokens, tokens),
    }
    adapters = [m for tower in (model.image, model.text) for m in tower.modules() if isinstance(m, Adapter)]
    left_out = sum(adapter.merged().adds_nothing for adapter in adapters)
    return {
        **{name: asdict(cost) for name, cost in costs.items()},
        "adapters": {"total": len(adapters), "left_out": left_out},
    }


class CostOfCls(torch.nn.Module):
    """The image tower as far as the exported graph goes: pixels to CLS."""

    def __init__(self, model: AltaModel) -> None:
        """Look at a model's image tower."""
        super().__init__()
        self.tower = model.image

    def forward(self, pixels: torch.Tensor, slot: torch.Tensor) -> torch.Tensor:
        """Return CLS (n, width)."""
        cls: torch.Tensor = self.tower(pixels, slot)[:, 0]
        return cls


class CostOfText(torch.nn.Module):
    """The text tower as far as the exported graph goes: tokens to both projections."""

    def __init__(self, model: AltaModel) -> None:
        """Look at a model's text tower."""
        super().__init__()
        self.tower = model.text

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the global and the local projections."""
        return self.tower.project(self.tower(input_ids, attention_mask))
