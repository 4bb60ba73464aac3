"""What a back end frees while it loads a graph goes back to the system, before it needs as much again."""

import ctypes
import sys

import pytest
from fakes.tensorrt import make_small_graph

from alta_runtimes import choose, freed_memory, load, openvino_session


@pytest.fixture
def calls(monkeypatch):
    found = []
    for module in (choose, openvino_session):
        monkeypatch.setattr(module, "give_back_freed", lambda: found.append("given back"))
    return found


def test_it_is_asked_of_glibc(monkeypatch):
    asked = []
    monkeypatch.setattr(freed_memory, "_find_trim", lambda: asked.append)
    freed_memory.give_back_freed()
    assert asked == [0]


@pytest.mark.skipif(sys.platform != "linux", reason="glibc is Linux's")
def test_glibc_has_it():
    if not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"):
        pytest.skip("another C library")
    assert freed_memory._find_trim() is not None
    freed_memory.give_back_freed()


@pytest.mark.parametrize("error", [OSError, AttributeError, TypeError])
def test_where_the_c_library_has_no_such_thing_nothing_happens(monkeypatch, error):
    def fail(_):
        raise error

    monkeypatch.setattr(ctypes, "CDLL", fail)
    freed_memory._find_trim.cache_clear()
    try:
        freed_memory.give_back_freed()
    finally:
        freed_memory._find_trim.cache_clear()


def test_after_a_graph_was_loaded(calls):
    load(make_small_graph(), runtime="onnxruntime")
    assert calls == ["given back"]


def test_with_openvino_also_between_reading_and_compiling(calls, monkeypatch):
    openvino = pytest.importorskip("openvino")
    core = openvino.Core()

    class Told:
        def __getattr__(self, name):
            calls.append(name)
            return getattr(core, name)

    def read(graph, read=openvino_session._read_graph):
        calls.append("read")
        return read(graph)

    monkeypatch.setattr(openvino_session, "_share_core", Told)
    monkeypatch.setattr(openvino_session, "_read_graph", read)
    load(make_small_graph(), runtime="openvino")
    assert calls == ["read", "given back", "compile_model", "given back"]
