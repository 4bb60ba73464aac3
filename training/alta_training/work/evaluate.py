"""Evaluate: the protocols by name, each with the options that it takes."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from alta_sdk.cli.terminal import say

from ..data.captioned import read_captioned
from ..data.labelled import read_labelled
from ..evaluation.baselines import evaluate_baseline, evaluate_frozen
from ..evaluation.encoders import CheckpointEncoder, Encoder, RememberingEncoder
from ..evaluation.metrics import Figures
from ..evaluation.other_hospital import evaluate_pairs, evaluate_shift
from ..evaluation.protocols import RSNA_SETS, evaluate_chexpert5, evaluate_chexpert8, evaluate_rsna
from ..evaluation.towers_encoder import TowersEncoder
from ..evaluation.zero_shot import evaluate_labelled


def measure(encoder: Encoder, protocol: str, given: Mapping[str, Any]) -> list[Figures]:
    """Run one protocol; given: the options by name."""
    data, root = given["data"], given["image_root"]
    if protocol == "chexpert5x200":
        return [evaluate_chexpert5(encoder, data, root)]
    if protocol == "chexpert8x200":
        return [evaluate_chexpert8(encoder, data, root)]
    if protocol == "rsna":
        return measure_rsna(encoder, given)
    if protocol == "pairs":
        return measure_pairs(encoder, given)
    return measure_labelled(encoder, given)


def measure_rsna(encoder: Encoder, given: Mapping[str, Any]) -> list[Figures]:
    """Measure pneumonia by the family's pair of prompts, and by its published ensemble if it has one."""
    known = encoder.asking.list_label_sets()
    sets = [name for name in RSNA_SETS if name in known]
    asked = RememberingEncoder(encoder) if len(sets) > 1 else encoder
    run = partial(evaluate_rsna, asked, given["data"], seed=given["seed"])
    return [run(published_threshold=given["published_threshold"], prompts=prompts) for prompts in sets]


def measure_labelled(encoder: Encoder, given: Mapping[str, Any]) -> list[Figures]:
    """Measure a finding of a labelled table and, if asked for, the baselines."""
    read = partial(read_labelled, given["data"], given["image_root"], finding=given["finding"])
    radiographs, seed = read(split=given["split"]), given["seed"]
    figures = [evaluate_labelled(encoder, radiographs, given["finding"], seed=seed)]
    if given["baseline"]:
        train = read(split="train")
        figures.append(evaluate_baseline(train, radiographs, seed=seed))
        if isinstance(encoder, CheckpointEncoder):
            figures.append(evaluate_frozen(encoder, train, radiographs, seed=seed))
        elif isinstance(encoder, TowersEncoder):
            say("no frozen features: this family has no adapters, its features are the published ones")
        else:
            say("no frozen features: an engine's adapters are merged; give the checkpoint for them")
    return figures


def measure_pairs(encoder: Encoder, given: Mapping[str, Any]) -> list[Figures]:
    """Measure retrieval of captions and, if a table of normal radiographs is given, the finding against them."""
    split, finding, seed = given["split"], given["finding"], given["seed"]
    radiographs = read_captioned(given["data"], given["image_root"], split=split)
    figures = [evaluate_pairs(encoder, radiographs, seed=seed)]
    if given["against"]:
        normal = read_labelled(given["against"], split=split, finding=finding)
        figures.append(evaluate_shift(encoder, radiographs, normal, finding, seed=seed))
    return figures
