"""Whatever is done to the bytes of an index, it is refused or still holds what was written."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alta_sdk import EngineError, ReportIndex
from alta_sdk.engine.vectors import to_unit_length
from alta_sdk.index.search import IndexOrigin

VECTORS = to_unit_length(np.random.default_rng(0).standard_normal((40, 16)))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("index") / "a.index"
    keys = [bytes([number]) * 16 for number in range(40)]
    ReportIndex.write(path, VECTORS, keys, IndexOrigin("studies", "engine", "frontal"))
    return path.read_bytes()


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_mutated_bytes_are_refused(written, tmp_path, data):
    at = data.draw(st.integers(0, len(written) - 1))
    length = data.draw(st.integers(0, 64))
    put = data.draw(st.binary(max_size=64))
    changed = written[:at] + put + written[at + length :]
    path = tmp_path / "b.index"
    path.write_bytes(changed)
    if changed == written:
        np.testing.assert_array_equal(ReportIndex.open(path).vectors, VECTORS)
        return
    try:
        opened = ReportIndex.open(path)
    except EngineError:
        return
    # Only the padding between header and arrays is under no hash: nothing is read from there.
    np.testing.assert_array_equal(opened.vectors, VECTORS)
