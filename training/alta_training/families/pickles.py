"""Weights out of a pickle: the published `.pth` files, MRM's, Lightning's; tensors and plain values, never code.

A pickle can call anything. torch's own reader for weights alone builds tensors and plain containers; the one class
that is allowed beside them is argparse's Namespace, in which MRM and its relatives store their options, and only
with plain values in it.
"""

import argparse
import pickle
import re
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from alta_sdk.errors import CheckpointError
from alta_sdk.files.opening import open_file

STATE_KEYS = ("model", "state_dict")  # the published files and MRM; Lightning
PLAIN = (str, int, float, bool, type(None))
MAX_VALUES = 100_000  # that options in a checkpoint may hold: a bound, also for values that hold themselves
SHOWN_CLASSES = 3
SCRIPTED = "/constants.pkl"  # what TorchScript archives have and others have not


def read_pickle(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a pickled checkpoint by the names they have in it.

    Raises CheckpointError if the file is damaged, holds code or another class, or no state_dict.
    """
    _refuse_scripted(path)
    try:
        with _allow_namespaces():
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"checkpoint {path.name} is refused: it holds {_name_classes(path)}, or is damaged; save a plain state_dict"
        ) from error
    except Exception as error:  # torch raises RuntimeError, EOFError, KeyError and others for damaged files
        raise CheckpointError(f"checkpoint {path.name} cannot be read: it is damaged or not a checkpoint") from error
    _check_options(content, path.name)
    return _find_state(content, path.name)


def _refuse_scripted(path: Path) -> None:
    """Raise CheckpointError for a whole program with its weights, which torch would run to load them."""
    try:
        with open_file(path) as file, zipfile.ZipFile(file) as archive:
            scripted = any(name.endswith(SCRIPTED) for name in archive.namelist())
    except Exception:  # not a zip, or a damaged one: torch says so
        return
    if scripted:
        raise CheckpointError(
            f"checkpoint {path.name} is refused: it is a scripted model, as OpenAI publishes CLIP; save its plain "
            "state_dict"
        )


def _find_state(content: object, name: str) -> dict[str, Tensor]:
    """Return the state_dict: the whole file, or what it has under one of the known keys."""
    state = content
    if isinstance(content, Mapping):
        state = next((content[key] for key in STATE_KEYS if isinstance(content.get(key), Mapping)), content)
    if not isinstance(state, Mapping) or not all(
        isinstance(key, str) and isinstance(tensor, Tensor) for key, tensor in state.items()
    ):
        raise CheckpointError(
            f"checkpoint {name} holds no state_dict: the published files have it as 'model', Lightning's as "
            "'state_dict'; save a plain one"
        )
    if not state:
        raise CheckpointError(f"checkpoint {name} holds an empty state_dict")
    return {key: _check_tensor(tensor, key, name) for key, tensor in state.items()}


def _check_tensor(tensor: Tensor, key: str, name: str) -> Tensor:
    """Refuse what is no plain array of numbers, or claims more of them than the file holds."""
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_complex() or tensor.device.type != "cpu":
        raise CheckpointError(f"checkpoint {name}: {key} is sparse, quantized, complex or without values")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise CheckpointError(f"checkpoint {name}: {key} claims more values than the file holds")
    return tensor.detach()


def _check_options(content: object, name: str) -> None:
    """Refuse a Namespace that holds anything but plain values, wherever in the file it stands."""
    seen: set[tuple[int, bool]] = set()  # what holds itself is looked at once, inside options and outside of them
    options = 0
    pending: list[tuple[Any, bool]] = [(content, False)]
    while pending:
        value, is_option = pending.pop()
        is_option = is_option or isinstance(value, argparse.Namespace)
        options += is_option
        if isinstance(value, PLAIN) and options <= MAX_VALUES or (id(value), is_option) in seen:
            continue
        seen.add((id(value), is_option))
        parts = _parts_of(value)
        if is_option and parts is None or options > MAX_VALUES:
            raise CheckpointError(
                f"checkpoint {name} is refused: its options hold more than plain values; save a plain state_dict"
            )
        pending.extend((part, is_option) for part in parts or ())


def _parts_of(value: object) -> Iterable[Any] | None:
    """Return what a container holds; None if it is none."""
    if isinstance(value, argparse.Namespace):
        return [*vars(value), *vars(value).values()]
    if isinstance(value, Mapping):
        return [*value.keys(), *value.values()]
    return list(value) if isinstance(value, list | tuple | set) else None


@contextmanager
def _allow_namespaces() -> Iterator[None]:
    """Let torch read argparse's namespaces beside tensors, without its warnings: they name its own files."""
    with warnings.catch_warnings(), torch.serialization.safe_globals([argparse.Namespace]):
        warnings.simplefilter("ignore")
        yield


def _name_classes(path: Path) -> str:
    """Name the classes that are not allowed in a file, as far as they can be told without running anything."""
    try:
        with _allow_namespaces():
            names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # damaged, or of the form before torch 1.6, whose names torch does not tell
        names = []
    plain = sorted(name for name in names if re.fullmatch(r"[A-Za-z_][\w.]{0,99}", name, re.ASCII))
    more = ", …" if len(plain) > SHOWN_CLASSES else ""
    return f"{', '.join(plain[:SHOWN_CLASSES])}{more} beside tensors" if plain else "more than tensors"
