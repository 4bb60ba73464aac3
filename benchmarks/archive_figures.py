"""Made rows of an archive, and how a figure is taken and printed beside its target: for `archive.py` and its parts."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from index import WIDTH

from alta_sdk.archive.extra import require
from alta_sdk.archive.schema import ArchiveOrigin, make_schema
from alta_sdk.engine.vectors import Vector

ORIGIN = ArchiveOrigin("engine", "frontal", "published-v1", "", WIDTH)


@contextmanager
def processor_s(found: dict[str, float], name: str) -> Iterator[None]:
    """Add the processor seconds of a block, of all threads of this process, and those of the clock."""
    start, clock = time.process_time(), time.perf_counter()
    yield
    found[name] = time.process_time() - start
    found[f"{name} clock"] = time.perf_counter() - clock


def tell(what: str, value: float, target: str, is_met: bool) -> None:
    """Print a figure beside its target."""
    print(f"{what:58} {value:8.3f}   target {target:8} {'met' if is_met else 'NOT MET'}", flush=True)


def make_rows(vectors: Vector, first: int = 0) -> Any:
    """Return an archive's rows of vectors, with ages, views and months at random."""
    pa = require("pyarrow", "archive")
    count, generator = len(vectors), np.random.default_rng(first)
    schema = make_schema(ORIGIN)
    months = generator.integers(0, 96, count)
    columns = {
        "key": pa.array([(first + number).to_bytes(16, "big") for number in range(count)], pa.binary(16)),
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel(), pa.float32()), WIDTH),
        "age": pa.array(generator.integers(0, 90, count), pa.int16()),
        "view": pa.array(generator.choice(["PA", "AP"], count, p=[0.6, 0.4]), pa.string()),
        "study_month": pa.array([f"{2000 + one // 12}-{one % 12 + 1:02}" for one in months], pa.string()),
    }
    filled = {name: columns.get(name, pa.nulls(count, schema.field(name).type)) for name in schema.names}
    return pa.table(filled, schema=schema)
