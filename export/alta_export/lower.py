"""From FP32 graphs to the graphs of an engine: calibrate, lower the precision, measure the drift, decide."""

import os
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import onnx

from alta_runtimes import Session, load
from alta_sdk.bench.timing import time_in_turn
from alta_sdk.dicom.intensity import PUBLISHED
from alta_sdk.engine.label_sets import LabelSet
from alta_sdk.engine.manifest_content import FRONTAL, IMAGE, TEXT
from alta_sdk.engine.text_encoder import TEXT_ROWS
from alta_sdk.engine.tokenizer import PromptTokenizer
from alta_sdk.errors import CalibrationError, ExportError

from .answers import GateInputs, answer
from .calibration import Calibration, calibrate, read_calibration
from .evidence import judge_evidence, refuse_overlap, spell_count
from .gate import LIMITS, GateDrift, make_labels, measure_gate, summarise
from .lowered_graphs import AskedGraph, Graphs, Reference, ask_graphs, lower_graphs
from .options import DEFAULT_SAMPLES, ExportOptions
from .precision import check_range
from .radiographs import Radiographs, StudySource, read_radiographs, split_off, spread_evenly, synthetic
from .raising import PreciseGraph
from .ranges import Arrays, measure_ranges
from .verify import make_radiographs

GATE_LABELS = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")
PAIRED = (  # findings whose pairs the text graph is calibrated on; the gate asks about others
    "pneumothorax", "lung nodule", "lung mass", "rib fracture", "emphysema", "fibrosis", "pleural thickening", "hernia",
    "infiltration", "lung opacity", "scoliosis", "calcification",
)  # fmt: skip
CALIBRATION_PROMPTS = 96
SYNTHETIC = 16
TIMED_ROUNDS = 7
ALIKE = 1e-6  # spread of embeddings under which radiographs cannot show a drift


@dataclass(frozen=True, eq=False)
class LoweredEngine:
    """What comes out: the graphs of the engine, what the gate measured, and the calibration if there was one.

    graphs: by the name that a manifest has for them; of the reference's, all. milliseconds: median time of one
    radiograph, by precision, FP32 beside it, measured in turn.
    """

    graphs: Mapping[str, PreciseGraph]
    drift: GateDrift
    gate: dict[str, Any]
    calibration: Calibration | None
    milliseconds: dict[str, float]

    @property
    def models(self) -> dict[str, onnx.ModelProto]:
        """The graphs, as they are written."""
        return {name: found.graph for name, found in self.graphs.items()}

    @property
    def sessions(self) -> dict[str, Session]:
        """The graphs, loaded as the engine will load them."""
        return {name: found.session for name, found in self.graphs.items()}


def lower_engine(
    options: ExportOptions, reference: Reference, tokenizer: PromptTokenizer, label_sets: dict[str, LabelSet]
) -> LoweredEngine:
    """Bring the graphs to the precision that was asked for, and let the gate decide.

    Raises CalibrationError for data that cannot be used, ExportError for an engine beyond the limits.
    """
    batch = partial(make_token_batches, tokenizer, reads=reference.inputs[TEXT])
    shown, held = read_data(options, reference)
    calibration = find_calibration(options, reference, shown, batch(choose_prompts(label_sets)))
    prompts, labels = make_labels(list(dict.fromkeys((*GATE_LABELS, options.finding))))
    inputs = GateInputs(held, batch(prompts), labels, options.finding, reference.logit_scale)
    opened = {name: load(graph.SerializeToString(), runtime="onnxruntime") for name, graph in reference.graphs.items()}
    truth = answer(opened, reference.head, inputs)
    _check_spread(truth.radiographs, options.precision)
    asked = ask_graphs(reference.head, opened, inputs, truth)
    if options.precision == "fp16":
        check_fp16(reference.graphs, asked)
    found = lower_graphs(options, reference, calibration, asked)
    drift = measure_gate(truth, answer({n: one.session for n, one in found.items()}, reference.head, inputs), inputs)
    limits = LIMITS[options.precision]
    violations = drift.find_violations(limits)
    if violations and not options.accept_drift:
        raise ExportError(refusal(options.precision, violations, found, spell_count(held)))
    evidence = judge_evidence(held, options.precision)
    gate = summarise(drift, limits, accepted=bool(violations), source=held.source, evidence=evidence)
    timed = {"fp32": opened[IMAGE], options.precision: found[IMAGE].session}
    # Of a TensorRT engine the graph alone is here: its time on a CPU says nothing.
    milliseconds = {} if options.engine == "trt" else time_radiographs(timed, make_synthetic(reference, 1))
    return LoweredEngine(found, drift, gate, calibration, milliseconds)


def read_data(options: ExportOptions, reference: Reference) -> tuple[Radiographs | None, Radiographs]:
    """Return the radiographs to calibrate with, if any were given, and those that are held out for the gate."""
    shown = held = None
    profile, geometry = options.intensity_profile or PUBLISHED, reference.geometry
    read = partial(
        read_radiographs,
        fusion_mode=options.fusion_mode or FRONTAL,
        readable=reference.slots,
        reads_slot=reference.reads_slot,
    )
    if options.calibration is not None:
        source = StudySource(options.calibration, options.calibration_split, options.finding, profile, geometry)
        shown = read(source, options.calibration_samples)
    if options.held_out is not None:
        source = StudySource(options.held_out, options.held_out_split, options.finding, profile, geometry, "--held-out")
        held = read(source, DEFAULT_SAMPLES)
        if shown is not None:
            refuse_overlap(shown, held)
    elif shown is not None:
        shown, held = split_off(shown)
    return shown, held or make_synthetic(reference, SYNTHETIC)


def make_synthetic(reference: Reference, count: int) -> Radiographs:
    """Return synthetic current frontals of an engine's size."""
    pixels = make_radiographs(count, reference.geometry.crop_px)
    return synthetic(pixels, [0] * count, reads_slot=reference.reads_slot)


def find_calibration(
    options: ExportOptions, reference: Reference, shown: Radiographs | None, prompts: list[Arrays]
) -> Calibration | None:
    """Return the calibration that INT8 needs: read from the cache, or made."""
    if options.precision != "int8":
        return None
    cache = options.calibration_cache
    if cache is not None and (os.path.exists(cache) or shown is None):
        found = read_calibration(cache, reference.checkpoint_sha256, reference.graphs)
        if found.method != options.calibration_method:
            raise CalibrationError(
                f"--calibration-cache was made by {found.method}: give --calibration-method {found.method}, or another "
                "file to calibrate anew"
            )
        return found
    if shown is None:
        raise CalibrationError("INT8 needs --calibration: the ranges of its activations are measured on radiographs")
    return calibrate(reference.graphs, shown, prompts, options.calibration_method, reference.checkpoint_sha256)


def check_fp16(graphs: Graphs, asked: Mapping[str, AskedGraph]) -> None:
    """Raise ExportError if a product's output comes near the largest FP16 number on what is held out."""
    for name, graph in graphs.items():
        check_range(name, measure_ranges(graph, asked[name].inputs, "minmax", outputs=True))


def choose_prompts(label_sets: dict[str, LabelSet]) -> list[str]:
    """Return prompts to calibrate the text graph with: pairs, since labels become such, and the engine's own sets.

    The two kinds are mixed, so that every part of the list holds both.
    """
    pairs, _ = make_labels(list(PAIRED))
    labels = (label for label_set in label_sets.values() for label in label_set.values())
    own = spread_evenly(list(dict.fromkeys(p for label in labels for p in label.positive)), CALIBRATION_PROMPTS)
    kept = spread_evenly(own, CALIBRATION_PROMPTS - len(pairs))
    places = np.argsort(np.concatenate([np.linspace(0, 1, len(pairs)), np.linspace(0, 1, len(kept))]), kind="stable")
    return [[*pairs, *kept][i] for i in places]


def make_token_batches(
    tokenizer: PromptTokenizer, prompts: list[str], reads: tuple[str, ...] = ("input_ids", "attention_mask")
) -> list[Arrays]:
    """Tokenize prompts, in order, in batches of eight, padded as the engine pads them; reads: what the graph takes."""
    encoded = tokenizer.encode(prompts)
    batches: list[Arrays] = []
    for start in range(0, len(encoded), TEXT_ROWS):
        part = encoded[start : start + TEXT_ROWS]
        input_ids, mask = tokenizer.pad(part, len(part))
        given = {"input_ids": input_ids, "attention_mask": mask}
        batches.append({name: given[name] for name in reads})
    return batches


def refusal(precision: str, violations: list[str], graphs: Mapping[str, PreciseGraph], held_out: str) -> str:
    """Say on one line what is beyond the limits, on what, which layers drift most, and the ways on."""
    worst = [
        f"{graph} {layer} {loss:.1e}"
        for graph, found in graphs.items()
        for layer, loss in sorted(found.sensitivity.items(), key=lambda item: -item[1])[:3]
    ]
    table = f"; most sensitive layers (1 - cosine alone): {', '.join(worst)}" if worst else ""
    return (
        f"{precision} engine drifts beyond the limits: {', '.join(violations)}; measured on {held_out}{table}; "
        "calibrate on more radiographs of the kind that will be scored, choose another --precision, or write it anyway "
        "with --accept-drift"
    )


def time_radiographs(sessions: dict[str, Session], radiograph: Radiographs) -> dict[str, float]:
    """Return the median milliseconds of one radiograph of each session, run in turn."""
    inputs = next(radiograph.inputs())
    times = time_in_turn({name: partial(session.run, inputs) for name, session in sessions.items()}, TIMED_ROUNDS)
    return {name: 1e3 * statistics.median(values) for name, values in times.items()}


def _check_spread(embeddings: Any, precision: str) -> None:
    spread = float(np.abs(embeddings - embeddings.mean(axis=0)).max())
    if precision != "fp32" and spread < ALIKE:
        raise CalibrationError("the held-out radiographs are all alike: no drift can be measured on them")
