"""OpenVINO in a process with threads and signals."""

import gc
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from fakes.tensorrt import make_small_graph

from alta_runtimes import EngineError, load, openvino_session
from alta_runtimes.private_copy import PrivateCopy

CODE = """
import os, signal, sys, threading
from alta_sdk import Engine

def reopen():
    other = Engine.open(sys.argv[1], runtime="openvino")
    engines.pop().close()
    engines.append(other)

heard = []
signal.signal(signal.SIGTERM, lambda *_: heard.append(True))
engines = [Engine.open(sys.argv[1], runtime="openvino")]
thread = threading.Thread(target=reopen)
thread.start()
thread.join()
os.kill(os.getpid(), signal.SIGTERM)
sys.exit(0 if heard else 1)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="signals of POSIX")
def test_a_signal_is_heard_after_another_thread_has_closed_an_engine(bundle):
    pytest.importorskip("openvino")
    done = subprocess.run([sys.executable, "-c", CODE, str(bundle)], check=False)
    assert done.returncode == 0


def make_copy(data):
    copied = PrivateCopy()
    copied.write(data)
    return copied


@pytest.mark.parametrize("give", [bytes, make_copy])
def test_no_front_end_but_that_of_onnx_is_asked(give, monkeypatch):
    openvino = pytest.importorskip("openvino")

    def refuse(*_):
        raise AssertionError("which asks one after the other")

    monkeypatch.setattr(openvino.Core, "read_model", refuse)
    session = load(give(make_small_graph()), runtime="openvino")
    given = {"x": np.ones((2, 4), np.float32), "k": np.zeros((2, 1), np.int64)}
    np.testing.assert_array_equal(session.run(given)["y"], [[18, 22, 26]] * 2)


def test_what_is_no_graph_is_an_engine_error():
    pytest.importorskip("openvino")
    copied = make_copy(b"no graph")
    for graph in (b"no graph", copied.source):
        with pytest.raises(EngineError, match="graph.onnx: openvino cannot load this graph"):
            openvino_session.open_session(graph, name="graph.onnx", device="cpu", threads=1, compute="f32")


def test_a_compiled_graph_is_read_from_a_map_that_stays():
    pytest.importorskip("openvino")
    graph, options = make_small_graph(), {"name": "graph.onnx", "threads": 1, "compute": "f32"}
    compiled = openvino_session.compile_graph(graph, **options)
    session = openvino_session.open_session(graph, device="cpu", compiled=compiled, **options)
    compiled.data.close()
    del compiled
    gc.collect()
    given = {"x": np.ones((2, 4), np.float32), "k": np.zeros((2, 1), np.int64)}
    expected = load(graph, runtime="openvino").run(given)["y"]
    np.testing.assert_array_equal(session.run(given)["y"], expected)


def test_where_there_are_no_files_in_memory_a_compiled_graph_is_read_from_bytes(monkeypatch):
    pytest.importorskip("openvino")
    monkeypatch.delattr(os, "memfd_create", raising=False)
    graph, options = make_small_graph(), {"name": "graph.onnx", "threads": 1, "compute": "f32"}
    compiled = openvino_session.compile_graph(graph, **options)
    session = openvino_session.open_session(graph, device="cpu", compiled=compiled, **options)
    given = {"x": np.ones((2, 4), np.float32), "k": np.zeros((2, 1), np.int64)}
    np.testing.assert_array_equal(session.run(given)["y"], [[18, 22, 26]] * 2)
