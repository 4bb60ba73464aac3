"""Read multipart/related bodies part by part as they arrive, under bounds on parts and bytes.

Source: RFC 2046 section 5.1, RFC 2387, PS3.18 section 8.6.1. Only one part is in memory at a time.
"""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

DICOM, DICOM_JSON = "application/dicom", "application/dicom+json"
RELATED = "multipart/related"
BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
_PARAMETER = re.compile(r';\s*([A-Za-z-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;"\s]*))\s*')
_MAX_HEADER_BYTES = 8192
_MAX_PREFACE_BYTES = 8192


class BodyError(Exception):
    """A body that is refused: the HTTP status, and what is wrong in one line."""

    def __init__(self, status: int, told: str) -> None:
        """Say what is wrong."""
        super().__init__(told)
        self.status = status


@dataclass(frozen=True)
class Bounds:
    """Of one body."""

    parts: int = 2000
    part_bytes: int = 128 << 20  # twice the largest frame that is read
    body_bytes: int = 4 << 30


@dataclass(frozen=True)
class Part:
    """One part: its media type without parameters, in small letters, and its bytes."""

    media_type: str
    data: bytes


def read_parameters(content_type: str) -> tuple[str, dict[str, str]]:
    """Return a media type, in small letters, and its parameters."""
    media_type, separator, rest = content_type.partition(";")
    found: dict[str, str] = {}
    place, text = 0, separator + rest
    while match := _PARAMETER.match(text, place):
        name, quoted, plain = match.groups()
        found[name.lower()] = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain
        place = match.end()
    return media_type.strip().lower(), found


def read_body(chunks: AsyncIterator[bytes], content_type: str, bounds: Bounds) -> AsyncIterator[Part]:
    """Yield the DICOM files of a body: one, or the parts of multipart/related; raise BodyError if it is neither."""
    if read_parameters(content_type)[0] == DICOM:
        return _read_one(chunks, bounds)
    return read_parts(chunks, find_boundary(content_type), bounds)


def find_boundary(content_type: str) -> bytes:
    """Return the boundary of a multipart/related body of DICOM files; raise BodyError (415, 400) if it is none."""
    media_type, parameters = read_parameters(content_type)
    stated = parameters.get("type", DICOM).partition(";")[0].strip().lower()
    if media_type != RELATED or stated != DICOM:
        raise BodyError(
            415,
            f'body is neither {DICOM} nor multipart/related; type="{DICOM}": send one DICOM file, or as STOW-RS does',
        )
    boundary = parameters.get("boundary", "")
    if not BOUNDARY.fullmatch(boundary):
        raise BodyError(400, "content type has no boundary, or none that a body may have")
    return boundary.encode("ascii")


async def read_parts(chunks: AsyncIterator[bytes], boundary: bytes, bounds: Bounds) -> AsyncIterator[Part]:
    """Yield the parts of a body; raise BodyError (400, 413) as soon as it breaks the form or a bound."""
    reader = _Reader(chunks, bounds)
    delimiter = b"\r\n--" + boundary
    reader.buffer += b"\r\n"  # so that a body that opens with its first delimiter has one, too
    await reader.take_until(delimiter, _MAX_PREFACE_BYTES, "first boundary")
    for _ in range(bounds.parts):
        if await reader.ends_here():
            return
        header = await reader.take_until(b"\r\n\r\n", _MAX_HEADER_BYTES, "end of a part's header")
        data = await reader.take_until(delimiter, bounds.part_bytes, "end of a part")
        yield Part(_find_type(header), data)
    if not await reader.ends_here():
        raise BodyError(413, f"body has more than {bounds.parts} parts: send it in several requests")


async def _read_one(chunks: AsyncIterator[bytes], bounds: Bounds) -> AsyncIterator[Part]:
    data = bytearray()
    async for chunk in chunks:
        data += chunk
        if len(data) > bounds.part_bytes:
            raise BodyError(413, f"file is larger than {bounds.part_bytes >> 20} MiB: refused")
    if data:
        yield Part(DICOM, bytes(data))


class _Reader:
    def __init__(self, chunks: AsyncIterator[bytes], bounds: Bounds) -> None:
        self.buffer = bytearray()
        self._chunks = chunks
        self._bounds = bounds
        self._read = 0

    async def _read_more(self, missing: str) -> None:
        try:
            chunk = await anext(self._chunks)
        except StopAsyncIteration:
            raise BodyError(400, f"body ends too early: the {missing} is missing") from None
        self._read += len(chunk)
        if self._read > self._bounds.body_bytes:
            raise BodyError(
                413, f"body is larger than {self._bounds.body_bytes >> 20} MiB: send it in several requests"
            )
        self.buffer += chunk

    async def take_until(self, mark: bytes, most: int, missing: str) -> bytes:
        """Return the bytes before a mark, and pass over it."""
        searched = 0
        while (place := self.buffer.find(mark, searched)) < 0:
            searched = max(0, len(self.buffer) - len(mark) + 1)
            if searched > most:
                raise BodyError(413, f"body has more than {most >> 10} KiB before the {missing}")
            await self._read_more(missing)
        if place > most:
            raise BodyError(413, f"body has more than {most >> 10} KiB before the {missing}")
        taken = bytes(memoryview(self.buffer)[:place])
        del self.buffer[: place + len(mark)]
        return taken

    async def ends_here(self) -> bool:
        """Return whether the delimiter that was just passed is the last; else pass over the rest of its line."""
        while len(self.buffer) < 2:
            await self._read_more("last boundary")
        if self.buffer[:2] == b"--":
            return True
        padding = await self.take_until(b"\r\n", 256, "end of a boundary's line")
        if padding.strip(b" \t"):
            raise BodyError(400, "body has a boundary that goes on in its line")
        self.buffer[:0] = b"\r\n"  # of a part without header the blank line alone is left
        return False


def _find_type(header: bytes) -> str:
    for line in header.decode("latin-1").split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() == "content-type":
            return read_parameters(value)[0]
    return "application/octet-stream"
