"""A graph's bytes between proof and use: nobody changes them, and a back end may read on from a map of them."""

import os

import pytest

from alta_runtimes.private_copy import PrivateCopy

needs_files_in_memory = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="files in memory are Linux's")


@needs_files_in_memory
@pytest.mark.parametrize("use", [PrivateCopy.view, PrivateCopy.map, lambda copied: copied.source])
def test_what_was_looked_at_can_be_written_by_nobody(use):
    with PrivateCopy() as copied:
        copied.write(b"proven")
        path = copied._path
        use(copied)
        with pytest.raises(PermissionError), open(path, "r+b", buffering=0) as file:
            file.write(b"forged")
        with pytest.raises(PermissionError):
            os.truncate(path, 1)
        with pytest.raises(PermissionError):
            copied.write(b"more")
        assert bytes(copied.view()) == b"proven"


@needs_files_in_memory
def test_what_is_written_to_a_map_changes_nothing_else():
    with PrivateCopy() as copied:
        copied.write(b"proven")
        mapped = copied.map()
        mapped[:6] = b"forged"
        assert bytes(copied.view()) == b"proven" and bytes(copied.map()) == b"proven"
    assert bytes(mapped) == b"forged"  # as long as it is held


@needs_files_in_memory
def test_nothing_is_mapped_of_nothing():
    with PrivateCopy() as copied:
        assert copied.map() is None and bytes(copied.view()) == b""


def test_elsewhere_it_is_bytes(monkeypatch):
    monkeypatch.delattr(os, "memfd_create", raising=False)
    with PrivateCopy() as copied:
        copied.write(b"pro")
        copied.write(b"ven")
        assert copied.map() is None and copied.source == bytes(copied.view()) == b"proven"
