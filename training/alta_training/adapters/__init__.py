"""Kinds of adapters by name, as a recipe and a checkpoint's metadata say it (`adapter`).

A new kind is one file with a class of the contract, and its line in ADAPTERS.
"""

from ..published import PUBLISHED_ADAPTER
from .bottleneck import ADAPTER_SCALE, BottleneckAdapter
from .contract import Adapter, AdapterTerms, leave_out_adapters

ADAPTERS: dict[str, type[Adapter]] = {PUBLISHED_ADAPTER: BottleneckAdapter}

__all__ = ["ADAPTERS", "ADAPTER_SCALE", "PUBLISHED_ADAPTER", "Adapter", "AdapterTerms", "leave_out_adapters"]
