"""Decompress pixel data in worker processes that have a time and a memory limit, kept and reused.

A worker starts once (about half a second) and then serves image after image; one that hangs, crashes
or runs out of memory is killed, and the next image gets a new one. Workers are plain scripts started
with `subprocess`: no fork of a process with threads and loaded engines, and no need for an
`if __name__ == "__main__"` in the caller's program. Safe between threads, which each get their own.
"""

import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from multiprocessing import spawn
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DicomError, RuntimeUnavailable
from .decode_time import BASE_S, S_PER_MIB, SPENT, DecodeTime

MEMORY_MIB = 640  # beyond the idle worker: the largest frame in JPEG 2000 takes under 400
START_TIMEOUT_S = 60.0
STOPPED_BY_TIME = -signal.SIGPROF if hasattr(signal, "SIGPROF") else None  # the exit code; see decode_worker.py
WAITING = 1.0 if STOPPED_BY_TIME is None else 4.0  # how much longer it may take where the processor is shared
MAX_WORKERS = 8
MAX_THREADS = 4  # of one image
PIPE_BYTES = 1 << 20
# One arena: each thread's own would take 64 MiB of the memory that an image may have.
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
FAILURES = {
    "memory": "pixel data needs more memory than is allowed: the file is damaged or truncated",
    "damaged": "pixel data cannot be decoded: the file is damaged or truncated",
    "size": "pixel data has another height or width than its Rows and Columns elements say: the file is damaged",
    "samples": "pixel data has more bits or other channels than its BitsAllocated and SamplesPerPixel elements say: "
    "the file is damaged",
    "sign": "pixel data has values below 0, which its PixelRepresentation element denies: the file is damaged",
    "frames": "pixel data holds more frames than its NumberOfFrames element says: the file is damaged",
}

JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
JPEG_LOSSLESS = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
# One plug-in for each transfer syntax; two only where decoding is lossless. Lossy decoders differ by a grey
# value here and there, so what is installed must not decide what a model sees.
PLUGINS: dict[str, tuple[str, ...]] = {
    "1.2.840.10008.1.2.5": ("pylibjpeg", "pydicom"),  # RLE
    "1.2.840.10008.1.2.4.50": ("pillow",),  # JPEG baseline
    JPEG_EXTENDED: ("pillow",),  # of 8 bits
    **dict.fromkeys(JPEG_LOSSLESS, ("gdcm", "pylibjpeg")),
    "1.2.840.10008.1.2.4.80": ("pyjpegls",),
    "1.2.840.10008.1.2.4.81": ("pyjpegls",),
    "1.2.840.10008.1.2.4.90": ("pylibjpeg",),  # JPEG 2000, by OpenJPEG
    "1.2.840.10008.1.2.4.91": ("pylibjpeg",),
    "1.2.840.10008.1.2.4.201": ("pylibjpeg",),  # HTJ2K
    "1.2.840.10008.1.2.4.202": ("pylibjpeg",),
    "1.2.840.10008.1.2.4.203": ("pylibjpeg",),
}

INSTALL = {
    JPEG_EXTENDED: "pip install 'alta-sdk[gpl-jpeg]', whose decoder is GPL-3",
    **dict.fromkeys(JPEG_LOSSLESS, "pip install 'alta-sdk[gdcm]'"),
}


def find_plugin(syntax: str, bits_stored: int = 8) -> str:
    """Return the pydicom plug-in that decodes a compressed transfer syntax here.

    bits_stored: JPEG extended of more than 8 bits needs another decoder than of 8.
    Raises DicomError if there is none: the syntax is unknown, or its plug-in is not installed.
    """
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import UID

    is_deep = syntax == JPEG_EXTENDED and bits_stored > 8
    wanted = ("pylibjpeg",) if is_deep else PLUGINS.get(syntax)
    if wanted is None:
        raise DicomError("transfer syntax is not one that alta-sdk decodes: convert the file")
    available = get_decoder(UID(syntax)).available_plugins
    for plugin in wanted:
        if plugin in available:
            return plugin
    install = INSTALL.get(syntax, "reinstall alta-sdk")
    raise DicomError(f"no decoder is installed for {UID(syntax).name}: {install}")


def decode_compressed(
    source: bytes,
    syntax: str,
    options: dict[str, Any],
    shared: DecodeTime | None = None,
    *,
    is_coarse: bool = False,
) -> NDArray[np.generic]:
    """Decode the first frame of encapsulated pixel data.

    source: the value of PixelData. options: pydicom's decoding options, which describe the pixels.
    shared: the processor time that other images share. is_coarse: JPEG 2000 may leave out its finest details.
    Returns (rows, columns) or (rows, columns, 3), colour as RGB.
    Raises DicomError if there is no decoder, or it fails, or is stopped by its time or memory limit;
    RuntimeUnavailable if no worker process can be started.
    """
    plugin = find_plugin(syntax, options["bits_stored"])
    shared, explained_s = shared or DecodeTime(), S_PER_MIB * len(source) / (1 << 20)
    timeout_s = shared.grant(explained_s)
    request = {
        "syntax": syntax,
        "plugin": plugin,
        "options": options,
        "seconds": timeout_s,
        "threads": count_threads(),
        "is_coarse": is_coarse,
    }
    began = time.monotonic()
    try:
        answer, content = _pool.decode(request, source, timeout_s)
    except DicomError as error:
        shared.charge(min(timeout_s, time.monotonic() - began))
        is_late_by_others = shared.is_spent and timeout_s < BASE_S + explained_s
        raise DicomError(SPENT if is_late_by_others else str(error)) from None
    shared.charge(answer["seconds"], 0 if "failure" in answer else explained_s)
    if "failure" in answer:
        raise DicomError(FAILURES[answer["failure"]])
    return np.frombuffer(content, np.dtype(answer["dtype"])).reshape(answer["shape"])


def count_workers() -> int:
    """Return how many images are decoded at once at most: one a processor, and a bound."""
    return min(MAX_WORKERS, os.cpu_count() or 1)


def share_processors(decoders: int) -> None:
    """Tell of this thread that it decodes beside others, so many in all: each image then has fewer processors."""
    _thread.decoders = decoders


def count_threads() -> int:
    """Return how many processors decoding one image may use in this thread."""
    return max(1, min(MAX_THREADS, count_workers() // int(getattr(_thread, "decoders", 1))))


class _Stopped(Exception):
    """The worker is gone: it crashed or ran into its time limit."""


@dataclass
class _Worker:
    """One process, used by one thread at a time."""

    process: "subprocess.Popen[bytes]"
    timed_out: bool = False

    @classmethod
    def start(cls) -> "_Worker":
        executable = os.fsdecode(spawn.get_executable() or "")
        if getattr(sys, "frozen", False) and executable == sys.executable:
            executable = ""  # starting it would start the application again
        if not executable:
            raise RuntimeUnavailable(
                "no Python interpreter to decode compressed DICOM with: name one with multiprocessing.set_executable"
            )
        program = Path(__file__).with_name("decode_worker.py")
        try:
            process = subprocess.Popen(
                [executable, "-I", str(program)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **ENVIRONMENT},
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),  # Windows: no console beside the caller's
            )
        except OSError as error:
            raise RuntimeUnavailable("the process that decodes compressed DICOM cannot be started") from error
        worker = cls(process)
        _widen(process.stdin)
        _widen(process.stdout)
        setup = {"path": [entry for entry in sys.path if entry], "memory_mib": MEMORY_MIB}
        try:
            worker.exchange(setup, b"", START_TIMEOUT_S)
        except _Stopped as error:
            worker.stop()
            raise RuntimeUnavailable("the process that decodes compressed DICOM ended at its start") from error
        return worker

    def exchange(self, head: dict[str, Any], body: bytes, timeout_s: float) -> tuple[dict[str, Any], bytearray]:
        """Send a request and return the answer; raise _Stopped if the process ends or takes too long."""
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None and stdout is not None  # for mypy: both are pipes
        alarm = threading.Timer(timeout_s, self._end_late)
        alarm.daemon = True
        alarm.start()
        try:
            stdin.write(json.dumps(head).encode() + b"\n")
            stdin.write(body)
            stdin.flush()
            answer: dict[str, Any] = json.loads(stdout.readline())
            content = bytearray(answer.get("size", 0))
            received = stdout.readinto(content)  # type: ignore[attr-defined]  # a BufferedReader, whatever IO says
        except (OSError, ValueError) as error:  # ValueError: an answer that ends in its first line
            raise _Stopped from error
        finally:
            alarm.cancel()
            alarm.join()  # now it either has fired or never will
        if self.timed_out or received != len(content):
            raise _Stopped
        return answer, content

    def _end_late(self) -> None:
        self.timed_out = True
        self.process.kill()

    def stop(self) -> None:
        """End the process and release its pipes."""
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # what was not sent yet has no reader now
                    pipe.close()
        self.process.wait()


@dataclass
class _Pool:
    """Idle workers, and how many may run at once."""

    idle: list[_Worker] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    places: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(count_workers()))

    def decode(self, request: dict[str, Any], source: bytes, timeout_s: float) -> tuple[dict[str, Any], bytearray]:
        with self.places:
            worker = self._take()
            try:
                answer, content = worker.exchange({**request, "size": len(source)}, source, WAITING * timeout_s)
            except _Stopped:
                worker.stop()
                raise DicomError(_why_stopped(worker, timeout_s)) from None
            except BaseException:  # Ctrl-C in the middle of an exchange: the rest of the answer is in the pipe
                worker.stop()
                raise
            self._give_back(worker, is_spent=answer.get("failure") == "memory")
        return answer, content

    def _take(self) -> _Worker:
        with self.lock:
            while self.idle:
                worker = self.idle.pop()
                if worker.process.poll() is None:
                    return worker
                worker.stop()
        return _Worker.start()

    def _give_back(self, worker: _Worker, *, is_spent: bool) -> None:
        if is_spent:  # it ran out of memory: its heap is not what it was
            worker.stop()
            return
        with self.lock:
            self.idle.append(worker)

    def close(self) -> None:
        with self.lock:
            while self.idle:
                self.idle.pop().stop()


def _widen(pipe: IO[bytes] | None) -> None:
    """Let a pipe hold more than the 64 KiB of Linux, so that an image goes over in fewer turns."""
    if pipe is not None and sys.platform == "linux":
        import fcntl

        with contextlib.suppress(OSError):  # the system's limit for pipes of one user is reached
            fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def _why_stopped(worker: _Worker, timeout_s: float) -> str:
    if worker.timed_out or worker.process.returncode == STOPPED_BY_TIME:
        return f"pixel data took longer than {timeout_s:.0f} s to decode and was given up: the file is damaged"
    return "pixel data cannot be decoded: the decoder crashed on it; the file is damaged or truncated"


def _forget_workers() -> None:
    """After a fork the pipes belong to the parent; a child starts workers of its own."""
    global _pool
    _parents.append(_pool)  # kept: closing a pipe here would send what the parent has not sent yet
    _pool = _Pool()


_thread = threading.local()
_pool = _Pool()
_parents: list[_Pool] = []
atexit.register(lambda: _pool.close())
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_workers)
