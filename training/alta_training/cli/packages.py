"""Whether what training needs is installed, asked before any of it is imported."""

from collections.abc import Sequence
from importlib.util import find_spec

from alta_sdk.errors import RuntimeUnavailable

# Besides those, of what figures are sent to (run/loggers.py).
OF_LOGGERS = {
    "tensorboard": ("tensorboard",),
    "wandb": ("wandb", "pytorch_lightning"),
    "mlflow": ("mlflow", "pytorch_lightning"),
}
NEEDS = ("torch", "lightning_fabric", "safetensors", "sklearn", "timm", "transformers")


def need_packages(loggers: Sequence[str] = ()) -> None:
    """Raise RuntimeUnavailable if a package of the extra is absent, or one of a logger."""
    for logger in loggers:
        own = [name for name in OF_LOGGERS.get(logger, ()) if find_spec(name) is None]
        if own:
            wanted = " ".join(name.replace("_", "-") for name in own)
            raise RuntimeUnavailable(f"--logger {logger} needs {', '.join(own)}: pip install {wanted}")
    absent = [name for name in NEEDS if find_spec(name) is None]
    if absent:
        raise RuntimeUnavailable(f"{', '.join(absent)} not installed: pip install 'alta-sdk[train]'")
