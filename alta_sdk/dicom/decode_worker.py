"""The program that decompresses pixel data, in a process of its own: decoders are C code fed by strangers.

Started by `decoding.py` as a plain script, so nothing of this package, let alone torch, is imported
here. Reads requests from standard input and answers on standard output: one line of JSON each, then
the bytes that it announces. No message of a decoder leaves: they quote what they read.
"""

import json
import os
import runpy
import signal
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO

MIB = 1 << 20
WITHOUT_SIZE = ("1.2.840.10008.1.2.5",)  # RLE states none
JPEG_BY_PILLOW = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51")
_read_size = runpy.run_path(str(Path(__file__).with_name("codestream.py")))["read_size"]
_decode_whole = runpy.run_path(str(Path(__file__).with_name("whole_jpeg.py")))["decode_whole"]
_limit_memory = runpy.run_path(str(Path(__file__).parents[1] / "files" / "limits.py"))["limit_memory"]


def main() -> None:
    """Answer requests until standard input ends; the first line says how to set up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the caller, who may want to end an image in order
    requests = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb")
    # Native decoders print to the standard streams: that must not get between the answers.
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    setup = json.loads(requests.readline())
    sys.path[:] = setup["path"]
    import logging
    import warnings

    import numpy  # noqa: F401  # imported before memory is limited
    import pydicom.pixels  # noqa: F401
    import simplejpeg  # noqa: F401

    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    _limit_memory(setup["memory_mib"] * MIB)
    _answer(answers, {"ready": True})
    while line := requests.readline():
        request = json.loads(line)
        source = requests.read(request.pop("size"))
        limit_time(request.pop("seconds"))
        serve(answers, request, source)


def serve(answers: BinaryIO, request: dict[str, Any], source: bytes) -> None:
    """Decode the first frame and answer with dtype and shape, or with the kind of failure, and what it took."""
    began = time.process_time()

    def answer(head: dict[str, Any], body: Any = b"") -> None:
        _answer(answers, {**head, "seconds": time.process_time() - began}, body)

    try:
        pixels = decode(source, **request)
    except MemoryError:
        answer({"failure": "memory"})
    except _OtherSize:
        answer({"failure": "size"})
    except BaseException:  # each plug-in raises its own kinds (Rust ones no Exception), and no text may leave
        answer({"failure": "damaged"})
    else:
        answer({"dtype": pixels.dtype.str, "shape": pixels.shape, "size": pixels.nbytes}, pixels.data)


class _OtherSize(Exception):
    """The codestream states another height or width than the header."""


def decode(source: bytes, syntax: str, plugin: str, options: dict[str, Any]) -> Any:
    """Return the first frame as a C-ordered array: (rows, columns) or (rows, columns, 3), colour as RGB."""
    import numpy as np
    from pydicom.encaps import get_frame
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import UID

    if syntax not in WITHOUT_SIZE:
        frame = get_frame(source, 0, number_of_frames=options["number_of_frames"])
        size = _read_size(frame)
        if size is None:
            raise ValueError("no frame header")
        if size != (options["rows"], options["columns"]):
            raise _OtherSize
        if syntax in JPEG_BY_PILLOW and plugin == "pillow":
            _decode_whole(frame)
    pixels, _ = get_decoder(UID(syntax)).as_array(source, index=0, decoding_plugin=plugin, **options)
    return np.ascontiguousarray(pixels)


def limit_time(seconds: float) -> None:
    """Let this process end when it has used so much processor time from here on; 0 lifts the limit.

    A machine that does other things, too, slows an image down and does not end it. Windows has no such alarm.
    """
    if sys.platform != "win32":
        signal.setitimer(signal.ITIMER_PROF, seconds)  # SIGPROF ends a process, in the middle of a decoder, too


def _answer(answers: BinaryIO, head: dict[str, Any], body: Any = b"") -> None:
    answers.write(json.dumps(head).encode() + b"\n")
    answers.write(body)
    answers.flush()


if __name__ == "__main__":
    main()
