"""Whether the service lives and may be given work, and its counts as Prometheus text: no key, no identifier in it.

Source: Prometheus text exposition format 0.0.4.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PREFIX = "alta_service_"


@dataclass(frozen=True)
class Check:
    """One thing that has to work. told: what is wrong and what to do, one line without an identifier; may be ""."""

    name: str
    is_ok: bool
    told: str = ""


@dataclass(frozen=True)
class Metric:
    """One name with its values by labels. kind: "gauge" or "counter"."""

    name: str
    kind: str
    told: str
    values: tuple[tuple[Mapping[str, str], float], ...]


def describe_readiness(checks: Iterable[Check], *, with_reasons: bool) -> dict[str, object]:
    """Return readiness as plain types; reasons are for those who may look at the service."""
    rows = list(checks)
    listed = [
        {"name": one.name, "ok": one.is_ok, **({"told": one.told} if with_reasons and one.told else {})} for one in rows
    ]
    return {"schema_version": 1, "ready": all(one.is_ok for one in rows), "checks": listed}


def render_metrics(metrics: Iterable[Metric]) -> str:
    """Return metrics as Prometheus reads them."""
    lines = []
    for metric in metrics:
        name = _PREFIX + metric.name
        lines += [f"# HELP {name} {metric.told}", f"# TYPE {name} {metric.kind}"]
        lines += [f"{name}{_write_labels(labels)} {_write_number(value)}" for labels, value in metric.values]
    return "\n".join(lines) + "\n"


def _write_labels(labels: Mapping[str, str]) -> str:
    pairs = ",".join(f'{name}="{_escape(value)}"' for name, value in labels.items())
    return f"{{{pairs}}}" if pairs else ""


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _write_number(value: float) -> str:
    return str(int(value)) if math.isfinite(value) and value == int(value) else repr(float(value))
