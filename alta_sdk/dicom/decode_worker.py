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
_codestream = runpy.run_path(str(Path(__file__).with_name("codestream.py")))
_openjpeg = runpy.run_path(str(Path(__file__).with_name("openjpeg.py")))
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
    except _Contradiction as error:
        answer({"failure": error.args[0]})
    except BaseException:  # each plug-in raises its own kinds (Rust ones no Exception), and no text may leave
        answer({"failure": "damaged"})
    else:
        answer({"dtype": pixels.dtype.str, "shape": pixels.shape, "size": pixels.nbytes}, pixels.data)


class _Contradiction(Exception):
    """The codestream states something else than the header: what, as the caller names failures."""


def decode(
    source: bytes, syntax: str, plugin: str, options: dict[str, Any], threads: int = 1, is_coarse: bool = False
) -> Any:
    """Return the first frame as a C-ordered array: (rows, columns) or (rows, columns, 3), colour as RGB.

    threads, is_coarse: what JPEG 2000 may use, and whether it may leave out the finest details.
    """
    import numpy as np
    from pydicom.encaps import get_frame
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import UID

    is_bare, frames = syntax in WITHOUT_SIZE, options["number_of_frames"]
    _check_frames(source, frames, is_bare)
    frame = get_frame(source, 0, number_of_frames=frames)
    stated = None if is_bare else _codestream["read_frame_header"](frame)
    if stated is not None:
        _check_frame_header(stated, options)
    elif not is_bare:
        raise ValueError("no frame header")
    if syntax in JPEG_BY_PILLOW and plugin == "pillow":
        _decode_whole(frame)
    if syntax in _openjpeg["SYNTAXES"] and not options["pixel_representation"]:
        pixels = _decode_by_openjpeg(frame, stated, threads, is_coarse)
        if pixels is not None:
            return np.ascontiguousarray(pixels)
    pixels, _ = get_decoder(UID(syntax)).as_array(source, index=0, decoding_plugin=plugin, **options)
    if stated is not None and stated.is_signed and not options["pixel_representation"]:
        _check_sign(pixels, stated.precision)
    return np.ascontiguousarray(pixels)


def _decode_by_openjpeg(frame: bytes, stated: Any, threads: int, is_coarse: bool) -> Any:
    """Return the frame, or None if the decoder without threads is to decide."""
    try:
        return _openjpeg["decode_grey"](frame, stated, threads, is_coarse=is_coarse)
    except BaseException:  # as below: each plug-in raises its own kinds
        if is_coarse:
            raise
        return None


def _check_frames(source: bytes, frames: int, is_bare: bool) -> None:
    """Refuse more frames than the header counts: decoders take the first of what they are given for the only one.

    is_bare: frames have no start of their own, and each is one fragment (PS3.5 A.4.2).
    """
    from pydicom.encaps import generate_fragments, parse_basic_offsets

    offsets = parse_basic_offsets(source)
    place = 4 * len(offsets) + 8
    starts = _codestream["starts_frame"]
    count = sum(bool(one) if is_bare else starts(one) for one in generate_fragments(source[place:]))
    if len(offsets) > frames or count > frames:
        raise _Contradiction("frames")


def _check_frame_header(stated: Any, options: dict[str, Any]) -> None:
    if (stated.height, stated.width) != (options["rows"], options["columns"]):
        raise _Contradiction("size")
    if stated.channels != options["samples_per_pixel"] or stated.precision > options["bits_allocated"]:
        raise _Contradiction("samples")


def _check_sign(pixels: Any, precision: int) -> None:
    """Refuse values below 0 that a header takes for the highest ones."""
    if ((pixels >> (precision - 1)) & 1).any():
        raise _Contradiction("sign")


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
