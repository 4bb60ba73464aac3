"""Compressed pixels are decoded in worker processes, which are reused, limited, and replaced when they end."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from fuzz.seeds import chest_header, save
from pydicom import uid

from alta_sdk import DicomError
from alta_sdk.dicom import decode_time, decoding
from alta_sdk.dicom.image import read_image
from alta_sdk.dicom.pixels import decode_first_frame


@pytest.fixture(scope="module")
def grey12():
    rows, columns = np.mgrid[0:64, 0:48]
    return ((rows * 61 + columns * 7) % 4096).astype(np.uint16)


@pytest.fixture
def jls(grey12):
    header = chest_header(grey12)
    header.compress(uid.JPEGLSLossless, generate_instance_uid=False)
    return read_image(save(header)).stored


def test_workers_are_reused_and_shared_between_threads(jls, grey12):
    with ThreadPoolExecutor(8) as pool:
        decoded = list(pool.map(lambda _: decode_first_frame(jls), range(40)))
    for stored in decoded:
        np.testing.assert_array_equal(stored, grey12)
    assert 1 <= len(decoding._pool.idle) <= decoding.MAX_WORKERS
    before = {worker.process.pid for worker in decoding._pool.idle}
    decode_first_frame(jls)
    assert {worker.process.pid for worker in decoding._pool.idle} == before


def test_a_worker_that_takes_too_long_is_replaced(jls, grey12, monkeypatch):
    decode_first_frame(jls)  # a worker is there
    before = decoding._pool.idle[-1].process
    monkeypatch.setattr(decode_time, "BASE_S", 0.0)
    monkeypatch.setattr(decoding, "S_PER_MIB", 0.0)
    with pytest.raises(DicomError, match="took longer than"):
        decode_first_frame(jls)
    assert before.returncode is not None
    monkeypatch.undo()
    np.testing.assert_array_equal(decode_first_frame(jls), grey12)


def test_a_worker_that_was_killed_is_replaced(jls, grey12):
    decode_first_frame(jls)
    for worker in decoding._pool.idle:
        worker.process.kill()
        worker.process.wait()
    np.testing.assert_array_equal(decode_first_frame(jls), grey12)


def test_a_worker_that_needs_too_much_memory_is_told_and_replaced(monkeypatch):
    pixels = np.zeros((4000, 4000), np.uint16)
    pixels[0, 0] = 1
    header = chest_header(pixels)
    header.compress(uid.JPEGLSLossless, generate_instance_uid=False)
    stored = read_image(save(header)).stored
    monkeypatch.setattr(decoding, "_pool", decoding._Pool())
    monkeypatch.setattr(decoding, "MEMORY_MIB", 24)
    with pytest.raises(DicomError, match="more memory than is allowed"):
        decode_first_frame(stored)
    assert not decoding._pool.idle


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_worker_imports_nothing_of_ours():
    worker = decoding._Worker.start()
    try:
        modules = Path(f"/proc/{worker.process.pid}/maps").read_text(encoding="utf-8", errors="replace")
    finally:
        worker.stop()
    assert "numpy" in modules
    assert not any(name in modules for name in ("libtorch", "onnxruntime", "tokenizers"))


def test_a_forked_process_does_not_use_its_parents_workers(jls, grey12):
    import multiprocessing

    decode_first_frame(jls)
    if "fork" not in multiprocessing.get_all_start_methods() or threading.active_count() > 1:
        parents = decoding._pool
        decoding._forget_workers()  # what a fork would call
        parents.close()  # which no fork would: here the processes are its own
    else:
        child = multiprocessing.get_context("fork").Process(target=decode_first_frame, args=(jls,))
        child.start()
        child.join(60)
        assert child.exitcode == 0
    np.testing.assert_array_equal(decode_first_frame(jls), grey12)
