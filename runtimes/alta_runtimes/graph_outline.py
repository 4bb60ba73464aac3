"""A graph's bytes without its weights, taken while the file streams by: what looks into it needs no copy of the rest.

The text graph of an engine that keeps the vectors of its own prompts is proven and looked into when the engine opens,
and not loaded. Its weights, two thirds of the engine, are hashed and let go of. What is kept lies at its own place of
memory that is as long as the file and holds zeros, for which the system gives no pages, where weights were: so
`check_graph` reads it as it reads the file, and says the same of it, since it looks at no byte of such a weight.
"""

import mmap
from collections.abc import Iterator

# By the numbers of onnx.proto3: of a model its graph, of a graph its weights, of a weight its bytes.
WAY = (7, 5, 9)
KEPT_BYTES = 4096  # of a weight: all of one that may be a shape (64 values of 8 bytes), and of what is no larger
VARINT, LENGTH_DELIMITED = 0, 2
WIDTHS = {1: 8, 5: 4}  # in bytes, by the wire type of numbers of fixed width


class _Unreadable(Exception):
    """The bytes are not a message: the rest is kept as it is, and whoever looks into it refuses it."""


def take_outline(blocks: Iterator[bytes], size: int) -> memoryview:
    """Return a file of `size` bytes, given in blocks, with zeros for the bytes of its larger weights.

    All blocks are taken, and what their iterator raises is passed on.
    """
    if size == 0:
        for _ in blocks:
            pass
        return memoryview(b"")
    stream = _Stream(blocks, memoryview(mmap.mmap(-1, size)), size)
    try:
        _read_message(stream, size, WAY)
    except _Unreadable:
        pass
    stream.keep(size - stream.place)
    for _ in blocks:  # to the end, where the proof is
        pass
    return stream.kept


class _Stream:
    """Blocks that are read once, from the first byte to the last, each kept or passed over."""

    def __init__(self, blocks: Iterator[bytes], kept: memoryview, size: int) -> None:
        self.kept = kept
        self.place = 0
        self._blocks = blocks
        self._size = size
        self._block, self._used = b"", 0

    def keep(self, count: int) -> None:
        """Go `count` bytes on and keep them."""
        self._go(count, is_kept=True)

    def skip(self, count: int) -> None:
        """Go `count` bytes on."""
        self._go(count, is_kept=False)

    def read_varint(self) -> int:
        """Keep a number, seven bits a byte, and return it."""
        number = 0
        for shift in range(0, 70, 7):
            self.keep(1)
            byte = self.kept[self.place - 1]
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
        raise _Unreadable

    def _go(self, count: int, is_kept: bool) -> None:
        if count > self._size - self.place:
            raise _Unreadable
        while count:
            while self._used == len(self._block):
                self._block, self._used = next(self._blocks), 0
            taken = min(count, len(self._block) - self._used)
            if is_kept:
                self.kept[self.place : self.place + taken] = self._block[self._used : self._used + taken]
            self.place += taken
            self._used += taken
            count -= taken


def _read_message(stream: _Stream, end: int, way: tuple[int, ...]) -> None:
    """Read a message that ends at `end`; way: the field that leads to weights, and those under it."""
    while stream.place < end:
        tag = stream.read_varint()
        wire = tag & 7
        if wire == VARINT:
            stream.read_varint()
            if stream.place > end:
                raise _Unreadable
            continue
        if wire not in (LENGTH_DELIMITED, *WIDTHS):
            raise _Unreadable
        length = WIDTHS.get(wire) or stream.read_varint()
        if length > end - stream.place:  # also where the length itself goes beyond the end
            raise _Unreadable
        is_on_way = wire == LENGTH_DELIMITED and tag >> 3 == way[0]
        if is_on_way and len(way) > 1:
            _read_message(stream, stream.place + length, way[1:])
        elif is_on_way and length > KEPT_BYTES:
            stream.skip(length)
        else:
            stream.keep(length)
