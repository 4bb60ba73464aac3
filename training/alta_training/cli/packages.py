"""Whether what training needs is installed, asked before any of it is imported."""

from importlib.util import find_spec

from alta_sdk.errors import RuntimeUnavailable

NEEDS = ("torch", "lightning_fabric", "safetensors", "sklearn", "timm", "transformers")


def need_packages() -> None:
    """Raise RuntimeUnavailable if a package of the extra is absent."""
    absent = [name for name in NEEDS if find_spec(name) is None]
    if absent:
        raise RuntimeUnavailable(f"{', '.join(absent)} not installed: pip install 'alta-sdk[train]'")
