"""Bodies in parts: the same in pieces of any size, bounded in parts and bytes, one part in memory at a time."""

import asyncio
import contextlib

import pytest
from fakes.stow import BOUNDARY, make_body
from hypothesis import given
from hypothesis import strategies as st

from alta_sdk.service.multipart import BodyError, Bounds, find_boundary, read_parameters, read_parts

PARTS = [b"", b"one", b"\r\n--alta" * 300, b"\r\n", b"--" + BOUNDARY.encode(), bytes(range(256)) * 20]
DEFAULT, SMALL = Bounds(), Bounds(parts=3, part_bytes=150, body_bytes=400)


class Sender:
    """A body in pieces, which says how much of it was asked for."""

    def __init__(self, body, size):
        self.body = body
        self.size = size
        self.sent = 0

    async def send(self):
        while self.sent < len(self.body):
            piece = self.body[self.sent : self.sent + self.size]
            self.sent += len(piece)
            yield piece


def read(sender, bounds=DEFAULT):
    async def collect():
        return [part async for part in read_parts(sender.send(), BOUNDARY.encode(), bounds)]

    return asyncio.run(collect())


@pytest.mark.parametrize("size", [1, 2, 7, 33, 1000, 1_000_000])
@pytest.mark.parametrize("around", [(b"", b""), (b"a preface\r\n", b"an epilogue")])
def test_parts_are_the_same_in_pieces_of_any_size(size, around):
    before, behind = around
    found = read(Sender(before + make_body(*PARTS) + behind, size))
    assert [part.data for part in found] == PARTS
    assert {part.media_type for part in found} == {"application/dicom"}


def test_white_space_behind_a_boundary_is_passed_over():
    body = make_body(b"one", b"two").replace(f"--{BOUNDARY}\r\n".encode(), f"--{BOUNDARY} \t\r\n".encode())
    assert [part.data for part in read(Sender(body, 5))] == [b"one", b"two"]


@pytest.mark.parametrize("bounds", [Bounds(parts=2), Bounds(part_bytes=100), Bounds(body_bytes=5000), Bounds(parts=0)])
def test_a_body_beyond_a_bound_is_refused_without_being_read_on(bounds):
    sender = Sender(make_body(b"one", b"two", b"x" * 100_000), 500)
    with pytest.raises(BodyError) as refused:
        read(sender, bounds)
    assert refused.value.status == 413
    assert sender.sent < 10_000


@pytest.mark.parametrize("end", range(1, len(make_body(b"one")) - 4))
def test_a_body_that_was_cut_is_refused(end):
    with pytest.raises(BodyError) as refused:
        read(Sender(make_body(b"one")[:end], 4))
    assert refused.value.status == 400


def test_parameters_may_be_quoted_and_in_any_order():
    given = 'Multipart/Related ; boundary="a b" ;  TYPE="application/dicom";x="\\"quoted\\";"'
    assert read_parameters(given) == (
        "multipart/related",
        {"boundary": "a b", "type": "application/dicom", "x": '"quoted";'},
    )
    assert find_boundary(given) == b"a b"


@given(st.binary(max_size=200), st.integers(0, 200), st.integers(1, 50))
def test_whatever_comes_is_read_or_refused(noise, place, size):
    body = make_body(b"one", b"two")
    for data in (noise, body[:place] + noise + body[place:], body[:place] + noise):
        with contextlib.suppress(BodyError):
            assert sum(len(part.data) for part in read(Sender(data, size), SMALL)) <= len(data)
