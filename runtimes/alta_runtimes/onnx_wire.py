"""Read what an ONNX file says, without the weights' values and without the package onnx, which is not installed here.

Needed to look at a graph before a back end does: back ends read files that a graph names, and run loops. Only the
fields that an export of ours writes are known, each as often as it may stand there; anything else is refused, so
that nothing is in the file which this reader passes over and a back end does not.
Source: onnx.proto3 of the ONNX specification, and the wire format of Protocol Buffers.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .errors import IntegrityError

MAX_FIELDS = 1_000_000  # of a file, the parts of every part counted; the published size has about 10,000
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
_SIGN, _WRAP = 1 << 63, 1 << 64


@dataclass(frozen=True, eq=False)
class Message:
    """A kind of message: its fields by number, each a name and a kind.

    Kinds: "int", "float", "text", "bytes" or a Message, with a "*" where it may repeat; "skip" is read over.
    refused: what fields that are known and not allowed stand for.
    """

    name: str
    fields: dict[int, tuple[str, Any, str]]
    refused: dict[int, str]


def _message(name: str, fields: dict[int, tuple[Any, ...]], refused: dict[int, str] | None = None) -> Message:
    filled = {number: (field, kind, (*more, "")[0]) for number, (field, kind, *more) in fields.items()}
    return Message(name, filled, refused or {})


OUTSIDE = "data outside the file (external data)"
INNER = "a graph inside an operator (loops, branches)"

DIMENSION = _message("dimension", {1: ("value", "int"), 2: ("param", "text"), 3: ("", "skip")})
SHAPE = _message("shape", {1: ("dim", DIMENSION, "*")})
TENSOR_TYPE = _message("tensor type", {1: ("elem_type", "int"), 2: ("shape", SHAPE)})
TYPE = _message("type", {1: ("tensor_type", TENSOR_TYPE), 6: ("", "skip")})
VALUE = _message("value", {1: ("name", "text"), 2: ("type", TYPE), 3: ("", "skip"), 4: ("", "skip")})
TENSOR = _message(
    "tensor",
    {
        1: ("dims", "int", "*"),
        2: ("data_type", "int"),
        4: ("float_data", "bytes"),
        5: ("int32_data", "bytes"),
        7: ("int64_data", "bytes"),
        8: ("name", "text"),
        9: ("raw_data", "bytes"),
        10: ("double_data", "bytes"),
        12: ("", "skip"),
        14: ("data_location", "int"),
        16: ("", "skip"),
    },
    {13: OUTSIDE},
)
ATTRIBUTE = _message(
    "attribute",
    {
        1: ("name", "text"),
        2: ("f", "float"),
        3: ("i", "int"),
        4: ("s", "text"),
        7: ("floats", "float", "*"),
        8: ("ints", "int", "*"),
        9: ("strings", "text", "*"),
        13: ("", "skip"),
        20: ("type", "int"),
    },
    {5: "a tensor inside an operator", 6: INNER, 10: "tensors inside an operator", 11: INNER},
)
NODE = _message(
    "operator",
    {
        1: ("input", "text", "*"),
        2: ("output", "text", "*"),
        3: ("name", "text"),
        4: ("op_type", "text"),
        5: ("attribute", ATTRIBUTE, "*"),
        6: ("", "skip"),
        7: ("domain", "text"),
        9: ("", "skip"),
    },
)
GRAPH = _message(
    "graph",
    {
        1: ("node", NODE, "*"),
        2: ("name", "text"),
        5: ("initializer", TENSOR, "*"),
        10: ("", "skip"),
        11: ("input", VALUE, "*"),
        12: ("output", VALUE, "*"),
        13: ("", "skip"),
        16: ("", "skip"),
    },
    {15: "sparse weights"},
)
OPSET = _message("operator set", {1: ("domain", "text"), 2: ("version", "int")})
NOTE = _message("note", {1: ("key", "text"), 2: ("", "skip")})
MODEL = _message(
    "model",
    {
        1: ("ir_version", "int"),
        2: ("", "skip"),
        3: ("", "skip"),
        4: ("", "skip"),
        5: ("", "skip"),
        6: ("", "skip"),
        7: ("graph", GRAPH),
        8: ("opset_import", OPSET, "*"),
        14: ("metadata_props", NOTE, "*"),
    },
    {20: "training steps", 25: "functions"},
)


def read_model(data: bytes | memoryview) -> dict[str, Any]:
    """Return an ONNX model's fields by name; those of several messages are lists, those not there are missing.

    Bytes fields are views of `data`: no weight is copied. Raises IntegrityError for what is not such a model.
    """
    return _Reader().read(memoryview(data), MODEL)


class _Reader:
    """Reads one file, and counts what it reads."""

    def __init__(self) -> None:
        self._count = 0

    def read(self, data: memoryview, message: Message) -> dict[str, Any]:
        found: dict[str, Any] = {name: [] for name, _, many in message.fields.values() if many}
        for number, wire, value in self._split(data):
            if number not in message.fields:
                what = message.refused.get(number, f"a {message.name} with a field {number}")
                raise IntegrityError(f"holds {what}, which no export of alta-sdk writes")
            name, kind, many = message.fields[number]
            if kind == "skip":
                continue
            if many:
                found[name] += self._convert_many(kind, wire, value, message.name)
            elif name in found:
                raise IntegrityError(f"says {name} of a {message.name} twice")
            else:
                found[name] = self._convert(kind, wire, value, message.name)
        return found

    def _split(self, data: memoryview) -> Iterator[tuple[int, int, Any]]:
        place = 0
        while place < len(data):
            self._count += 1
            if self._count > MAX_FIELDS:
                raise IntegrityError(f"has more than {MAX_FIELDS:,} parts")
            tag, place = _read_varint(data, place)
            wire = tag & 7
            if wire == VARINT:
                value, place = _read_varint(data, place)
                yield tag >> 3, wire, value
                continue
            if wire not in (FIXED64, LENGTH, FIXED32):
                raise IntegrityError("is not an ONNX file")
            size = {FIXED64: 8, FIXED32: 4}.get(wire)
            if size is None:
                size, place = _read_varint(data, place)
            if size > len(data) - place:
                raise IntegrityError("is not an ONNX file, or was cut short")
            yield tag >> 3, wire, data[place : place + size]
            place += size

    def _convert(self, kind: Any, wire: int, value: Any, where: str) -> Any:
        expected = {"int": VARINT, "float": FIXED32}.get(kind, LENGTH) if isinstance(kind, str) else LENGTH
        if wire != expected:
            raise IntegrityError("is not an ONNX file")
        if isinstance(kind, Message):
            return self.read(value, kind)
        if kind == "int":
            return value - _WRAP if value >= _SIGN else value
        if kind == "float":
            return struct.unpack("<f", value)[0]
        if kind == "bytes":
            return value
        try:
            text = bytes(value).decode("utf-8")
        except UnicodeDecodeError as error:
            raise IntegrityError("is not an ONNX file: a name is not UTF-8") from error
        if not text.isprintable():  # back ends quote names in what they print and raise
            raise IntegrityError(f"holds control characters in a name of a {where}, which no export of alta-sdk writes")
        return text

    def _convert_many(self, kind: Any, wire: int, value: Any, where: str) -> list[Any]:
        if kind == "int" and wire == LENGTH:  # packed: one after the other, without tags
            numbers, place = [], 0
            while place < len(value):
                self._count += 1
                number, place = _read_varint(value, place)
                numbers.append(self._convert(kind, VARINT, number, where))
            return numbers
        if kind == "float" and wire == LENGTH:
            if len(value) % 4:
                raise IntegrityError("is not an ONNX file")
            return [one for (one,) in struct.iter_unpack("<f", value)]
        return [self._convert(kind, wire, value, where)]


def _read_varint(data: memoryview, place: int) -> tuple[int, int]:
    """Return the number at `place`, seven bits a byte, and the place behind it."""
    number = 0
    for shift in range(0, 70, 7):
        if place >= len(data):
            break
        byte = data[place]
        place += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            if number >= _WRAP:
                break
            return number, place
    raise IntegrityError("is not an ONNX file, or was cut short")
