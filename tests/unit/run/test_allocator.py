"""Freed memory is kept in programs that train, on glibc alone, and where nobody has chosen otherwise."""

import subprocess
import sys

import pytest

from alta_training.run import allocator
from alta_training.run.allocator import SETTINGS, keep_freed_memory

CODE = """
import ctypes, resource, sys
from alta_training.run.allocator import keep_freed_memory
told = keep_freed_memory({})
library = ctypes.CDLL(None)
library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
library.memset.argtypes, library.free.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t], [ctypes.c_void_p]
faults = []
for _ in range(4):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    array = library.malloc(64 << 20)
    library.memset(array, 1, 64 << 20)
    library.free(array)
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(told, "torch" in sys.modules, faults[-1])
"""


class Library:
    """Notes what mallopt was asked, and says whether it did so."""

    def __init__(self, answer):
        self.answer, self.asked = answer, {}

    def mallopt(self, name, value):
        self.asked[name] = value
        return self.answer


@pytest.fixture
def glibc(monkeypatch):
    monkeypatch.setattr(allocator, "is_glibc", lambda: True)

    def install(answer=1):
        library = Library(answer)
        monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: library)
        return library

    return install


@pytest.mark.skipif(not allocator.is_glibc(), reason="no glibc: another C library")
def test_an_array_that_was_freed_costs_no_page_faults_when_it_is_made_again():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    told, torch, faults = done.stdout.split()
    assert (told, torch) == ("True", "False") and int(faults) < 1000  # 64 MiB are 16,384 pages


def test_glibc_is_asked_for_it_and_its_refusal_is_told(glibc):
    library = glibc()
    assert keep_freed_memory({}) and library.asked == SETTINGS
    glibc(0)
    assert not keep_freed_memory({})


@pytest.mark.parametrize(
    "environment",
    [{"MALLOC_ARENA_MAX": "2"}, {"GLIBC_TUNABLES": "glibc.malloc.perturb=1"}, {"LD_PRELOAD": "/lib/libjemalloc.so.2"}],
)
def test_who_has_chosen_keeps_the_choice(glibc, environment):
    library = glibc()
    assert not keep_freed_memory(environment) and library.asked == {}


def test_another_c_library_is_left_alone(glibc, monkeypatch):
    library = glibc()
    monkeypatch.setattr(allocator, "is_glibc", lambda: False)
    assert not keep_freed_memory({}) and library.asked == {}


@pytest.mark.parametrize("answer", [None, "musl", ValueError("unrecognized configuration name")])
def test_what_is_no_glibc_is_told(answer, monkeypatch):
    def confstr(name):
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(allocator.os, "confstr", confstr)
    assert not allocator.is_glibc()
