"""OpenVINO in a process with threads and signals."""

import signal
import subprocess
import sys

import pytest

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
