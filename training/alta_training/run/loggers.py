"""Where the figures of a run go besides metrics.jsonl: Lightning Fabric's own loggers, and two that others make for it.

Nothing leaves the machine unless a person says so: W&B writes beside the run, to be sent by `wandb sync`, and MLflow
into a folder of the run, unless their own environment variables name another place.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from lightning_fabric.loggers import CSVLogger, Logger, TensorBoardLogger

from alta_sdk.errors import RuntimeUnavailable

FLUSHED_STEPS = 10
PROJECT = "alta"


def open_loggers(names: Sequence[str], folder: Path) -> list[Logger]:
    """Make the loggers of a run, which write from its first figures on; raise RuntimeUnavailable without a package."""
    return [MAKERS[name](folder) for name in dict.fromkeys(names)]


def log_settings(loggers: Sequence[Logger], settings: Mapping[str, Any]) -> None:
    """Hand the recipe, flat, to loggers that are not Fabric's own: beside those recipe.toml has it."""
    for logger in loggers:
        if not isinstance(logger, (CSVLogger, TensorBoardLogger)):
            logger.log_hyperparams(dict(settings))


def _make_tensorboard(folder: Path) -> Logger:
    try:
        return TensorBoardLogger(folder, name="tensorboard", version="")
    except ModuleNotFoundError as error:
        raise RuntimeUnavailable("tensorboard is not installed: pip install 'alta-sdk[train]'") from error


def _make_csv(folder: Path) -> Logger:
    return CSVLogger(folder, name="csv", flush_logs_every_n_steps=FLUSHED_STEPS)


def _make_wandb(folder: Path) -> Logger:
    # Source: Lightning Fabric's guide, "Weights and Biases": the logger is W&B's own.
    kind = _find("wandb.integration.lightning.fabric", "WandbLogger", "wandb")
    offline = os.environ.get("WANDB_MODE", "offline") == "offline"
    logger: Logger = kind(project=os.environ.get("WANDB_PROJECT", PROJECT), save_dir=str(folder), offline=offline)
    return logger


def _make_mlflow(folder: Path) -> Logger:
    kind = _find("pytorch_lightning.loggers", "MLFlowLogger", "mlflow", "pytorch-lightning")
    own = f"file:{(folder / 'mlruns').absolute()}"
    logger: Logger = kind(experiment_name=PROJECT, tracking_uri=os.environ.get("MLFLOW_TRACKING_URI", own))
    return logger


def _find(module: str, name: str, *packages: str) -> Callable[..., Logger]:
    try:
        for package in packages:
            import_module(package.replace("-", "_"))
        found: Callable[..., Logger] = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise RuntimeUnavailable(f"--logger {packages[0]} needs more: pip install {' '.join(packages)}") from error
    return found


MAKERS: dict[str, Callable[[Path], Logger]] = {
    "tensorboard": _make_tensorboard,
    "csv": _make_csv,
    "wandb": _make_wandb,
    "mlflow": _make_mlflow,
}
