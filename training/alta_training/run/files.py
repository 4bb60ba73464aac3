"""What a run leaves in its folder, each file written atomically: state to resume from, weights, metrics.

OUTPUT/recipe.toml         every setting
       state.pt            to resume from; state.previous.pt is the one before
       last.safetensors    weights after the last epoch; best.safetensors: of the best validation AUC
       text-model/         the text tower's configuration and vocabulary
       metrics.jsonl       one line a step or validation; tensorboard/: the same as curves
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from alta_sdk.errors import TrainingError
from alta_sdk.files.atomic import new_file
from alta_sdk.files.opening import read_text

from ..recipe import Recipe
from .folder import METRICS, PREVIOUS, STATE, check_run_folder
from .recipe_files import list_new_settings, list_settings, write_recipe

TEXT_MODEL_FILES = ("config.json", "vocab.txt", "tokenizer_config.json")
IDENTITY = ("studies_sha256", "backbone_sha256")  # of a run's statements, those that a resumed run must share


def open_run_folder(folder: Path, recipe: Recipe, text_model: Path, resume: bool) -> None:
    """Make a new run's folder, or check that a resumed one has the same recipe.

    Raises TrainingError if the folder is taken, or holds no run to resume, or cannot be made.
    """
    check_run_folder(folder, resume)
    if resume:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_recipe(recipe, folder / "recipe.toml")
        copy_text_model(text_model, folder / "text-model")
    except FileExistsError as error:  # of two runs that begin at once, one
        raise TrainingError(f"{folder.name} was taken by another run meanwhile: choose another --output") from error
    except OSError as error:
        raise TrainingError(f"{folder.name} cannot be written: {error.strerror}; choose another --output") from error


def copy_text_model(source: Path, folder: Path) -> None:
    """Copy a BERT folder's configuration and vocabulary, without weights."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in TEXT_MODEL_FILES:
        if os.path.isfile(source / name):
            shutil.copyfile(source / name, folder / name)


def save_state(folder: Path, state: Mapping[str, Any]) -> None:
    """Write the state; the one before is kept under another name until the next."""
    with new_file(folder / STATE) as temporary:
        torch.save(dict(state), temporary)
        if os.path.exists(folder / STATE):
            os.replace(folder / STATE, folder / PREVIOUS)


def load_state(folder: Path, recipe: Recipe, stated: Mapping[str, str]) -> dict[str, Any]:
    """Read the state; raise TrainingError if it is damaged, or of another recipe, table or backbone.

    A kill between the two renames of `save_state` leaves only the previous state: it is taken then.
    """
    path = folder / STATE if os.path.isfile(folder / STATE) else folder / PREVIOUS
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        saved = list_settings(state["recipe"])
    except Exception as error:  # torch raises many kinds for damaged files
        raise TrainingError(f"{path.name} is damaged: rename {PREVIOUS} to {STATE} and resume from that") from error
    own, new = list_settings(asdict(recipe)), list_new_settings(recipe, saved)
    saved = {**new, **saved}
    changed = sorted(name for name in own.keys() | saved.keys() if saved.get(name) != own.get(name))
    given = {name: stated[name] for name in IDENTITY if name in stated}
    changed += sorted(name for name, value in given.items() if state["stated"].get(name) != value)
    if changed:
        raise TrainingError(
            f"the run was started with another recipe, table or backbone: {', '.join(changed)} differ; "
            "do not change them"
        )
    return state


def cut_metrics(folder: Path, step: int) -> None:
    """Drop what metrics.jsonl says of steps after `step`: a resumed run takes them again.

    Raises TrainingError if it is no text file.
    """
    path = folder / METRICS
    if not os.path.lexists(path):
        return
    kept = []
    try:
        text = read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(f"{path.name} of the run cannot be read: mend it, or remove it") from error
    for line in text.splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except ValueError:  # torn by a kill; nothing follows it
            break
    with new_file(path) as temporary:
        temporary.write_text("".join(kept), encoding="utf-8")


def append_metrics(folder: Path, line: Mapping[str, Any]) -> None:
    """Append one JSON object to metrics.jsonl."""
    with (folder / METRICS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
