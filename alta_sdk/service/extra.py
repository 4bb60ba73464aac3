"""The packages of the extra `service`, asked for once, at start."""

from importlib import import_module

from ..errors import ServiceError

PACKAGES = ("pynetdicom", "highdicom", "starlette", "uvicorn")


def require_extra() -> None:
    """Raise ServiceError unless every package of the extra can be imported."""
    missing = []
    for name in PACKAGES:
        try:
            import_module(name)
        except ImportError:
            missing.append(name)
    if missing:
        raise ServiceError(f'{", ".join(missing)} cannot be imported: pip install "alta-sdk[service]"')
