"""Where the figures of a run go besides metrics.jsonl: Lightning Fabric's own loggers, and two of PyTorch Lightning's.

Nothing leaves the machine unless a person says so: W&B writes beside the run, to be sent by `wandb sync`, and MLflow
into a database in its folder, unless their own environment variables name another place.
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
OTHERS = "pytorch_lightning"  # its loggers are Fabric's Logger, too, and need not its Trainer


def open_loggers(names: Sequence[str], folder: Path, settings: Mapping[str, Any]) -> list[Logger]:
    """Make the loggers of a run in its folder, which is there; those that are not Fabric's own keep the recipe, flat.

    Raises RuntimeUnavailable for one whose package is absent.
    """
    loggers = [MAKERS[name](folder) for name in dict.fromkeys(names)]
    for logger in loggers:
        if not isinstance(logger, (CSVLogger, TensorBoardLogger)):  # recipe.toml lies beside those
            logger.log_hyperparams(dict(settings))
    return loggers


def _make_tensorboard(folder: Path) -> Logger:
    try:
        return TensorBoardLogger(folder, name="tensorboard", version="")
    except ModuleNotFoundError as error:
        raise RuntimeUnavailable("tensorboard is not installed: pip install 'alta-sdk[train]'") from error


def _make_csv(folder: Path) -> Logger:
    return CSVLogger(folder, name="csv", flush_logs_every_n_steps=FLUSHED_STEPS)


def _make_wandb(folder: Path) -> Logger:
    # Not W&B's own for Fabric: that one wants the whole of lightning.
    kind = _find("WandbLogger", "wandb", OTHERS)
    offline = os.environ.get("WANDB_MODE", "offline") == "offline"
    logger: Logger = kind(project=os.environ.get("WANDB_PROJECT", PROJECT), save_dir=str(folder), offline=offline)
    return logger


def _make_mlflow(folder: Path) -> Logger:
    kind = _find("MLFlowLogger", "mlflow", OTHERS)
    place: dict[str, str] = {"tracking_uri": f"sqlite:///{(folder / 'mlflow.db').absolute()}"}
    place["artifact_location"] = str((folder / "mlflow").absolute())
    if "MLFLOW_TRACKING_URI" in os.environ:
        place = {"tracking_uri": os.environ["MLFLOW_TRACKING_URI"]}
    logger: Logger = kind(experiment_name=PROJECT, **place)
    return logger


def _find(name: str, *packages: str) -> Callable[..., Logger]:
    try:
        for package in packages:
            import_module(package)
        found: Callable[..., Logger] = getattr(import_module(f"{OTHERS}.loggers"), name)
    except (ImportError, AttributeError) as error:
        wanted = " ".join(package.replace("_", "-") for package in packages)
        raise RuntimeUnavailable(f"--logger {packages[0]} needs more: pip install {wanted}") from error
    return found


MAKERS: dict[str, Callable[[Path], Logger]] = {
    "tensorboard": _make_tensorboard,
    "csv": _make_csv,
    "wandb": _make_wandb,
    "mlflow": _make_mlflow,
}
