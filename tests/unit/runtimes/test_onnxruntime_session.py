"""onnxruntime on a machine whose processors others use, too: ALTA_SHARED_HOST."""

import onnxruntime
import pytest
from fakes.tensorrt import make_small_graph

from alta_runtimes import RuntimeUnavailable, load
from alta_runtimes.onnxruntime_session import NO_SPINNING, SHARED_HOST


@pytest.fixture
def entries(monkeypatch):
    """What was set of sessions beside their named options."""
    found = []

    class Told(onnxruntime.SessionOptions):
        def add_session_config_entry(self, key, value):
            found.append((key, value))
            super().add_session_config_entry(key, value)

    monkeypatch.setattr(onnxruntime, "SessionOptions", Told)
    return found


@pytest.mark.parametrize("told", [None, "", "0"])
def test_threads_spin_unless_it_is_said_that_others_need_the_processors(entries, monkeypatch, told):
    monkeypatch.delenv(SHARED_HOST, raising=False)
    if told is not None:
        monkeypatch.setenv(SHARED_HOST, told)
    load(make_small_graph(), runtime="onnxruntime")
    assert entries == []


def test_on_a_shared_host_threads_sleep(entries, monkeypatch):
    monkeypatch.setenv(SHARED_HOST, "1")
    load(make_small_graph(), runtime="onnxruntime")
    assert entries == [NO_SPINNING] == [("session.intra_op.allow_spinning", "0")]


@pytest.mark.parametrize("told", ["yes", "2", " 1"])
def test_what_is_neither_is_refused(monkeypatch, told):
    monkeypatch.setenv(SHARED_HOST, told)
    with pytest.raises(RuntimeUnavailable, match="ALTA_SHARED_HOST must be 1 or 0"):
        load(make_small_graph(), runtime="onnxruntime")
