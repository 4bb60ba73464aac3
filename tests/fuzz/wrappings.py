"""What a broken file lies in: alone, in an archive, in a folder with what is no file, deep down, or among many."""

import io
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

Wrap = Callable[[np.random.Generator, bytes, Path], Path]


def alone(rng: np.random.Generator, data: bytes, folder: Path) -> Path:
    """Write the file."""
    path = folder / "broken"
    path.write_bytes(data)
    return path


def in_archive(rng: np.random.Generator, data: bytes, folder: Path) -> Path:
    """Write a zip of one to four members, half of the time with bits flipped in its records."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", int(rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))) as archive:
        for number in range(int(rng.integers(1, 5))):
            archive.writestr(f"{number}.dcm", data if number == 0 or rng.random() < 0.5 else b"a note")
    whole = bytearray(packed.getvalue())
    records = [place for place in range(max(0, len(whole) - 400), len(whole)) if whole[place : place + 2] == b"PK"]
    if rng.random() < 0.5:
        for _ in range(int(rng.integers(1, 5))):
            place = records[rng.integers(len(records))] if records else 0
            whole[min(place + int(rng.integers(4, 46)), len(whole) - 1)] = int(rng.integers(256))
    path = folder / "broken.zip"
    path.write_bytes(whole)
    return path


def in_inflating_archive(rng: np.random.Generator, data: bytes, folder: Path) -> Path:
    """Write a zip whose members inflate a thousandfold: the file with zeros behind it, some state a small size."""
    path = folder / "broken.zip"
    zeros = bytes(int(rng.choice([1 << 20, 60 << 20, 200 << 20])))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(int(rng.integers(1, 4))):
            archive.writestr(f"{number}.dcm", data + zeros)
    if rng.random() < 0.5:
        whole = bytearray(path.read_bytes())
        place = whole.find(b"PK\x01\x02")
        struct.pack_into("<I", whole, place + 24, len(data))
        path.write_bytes(whole)
    return path


def in_archive_of_many(rng: np.random.Generator, data: bytes, folder: Path) -> Path:
    """Write a zip of up to 70,000 members that are empty, the file behind them."""
    path = folder / "broken.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(int(rng.choice([900, 3000, 70_000], p=[0.5, 0.4, 0.1]))):
            archive.writestr(zipfile.ZipInfo(f"{number}"), b"")
        archive.writestr("z.dcm", data)
    return path


def among_others(rng: np.random.Generator, data: bytes, folder: Path) -> Path:
    """Write the file into a folder with a pipe, links to nowhere, to itself and to a device, and a note."""
    (folder / "broken.dcm").write_bytes(data)
    (folder / "note.txt").write_text("not a study", encoding="utf-8")
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.dcm")
    for name, target in (("gone.dcm", "nowhere"), ("loop", "loop"), ("zero.dcm", "/dev/zero"), ("up", "..")):
        (folder / name).symlink_to(target)
    return folder


def deep_down(rng: np.random.Generator, data: bytes, folder: Path) -> Path:
    """Write the file into a folder in a folder, up to 1200 times."""
    place = f"{folder}"
    for _ in range(int(rng.choice([5, 100, 1200]))):
        place += "/d"
        os.mkdir(place)
    with open(f"{place}/broken.dcm", "wb") as file:
        file.write(data)
    return folder / "d"


def among_many(rng: np.random.Generator, data: bytes, folder: Path) -> Path:
    """Write the file into a folder of up to 3000 empty ones."""
    for number in range(int(rng.choice([100, 1500, 3000]))):
        (folder / str(number)).touch()
    (folder / "z.dcm").write_bytes(data)
    return folder


def repeated(rng: np.random.Generator, data: bytes, folder: Path) -> Path:
    """Write up to 40 copies of the file into a folder, no more than 64 MiB: what they cost is shared."""
    for number in range(min(int(rng.integers(2, 41)), max(1, (64 << 20) // max(len(data), 1)))):
        (folder / f"{number}.dcm").write_bytes(data)
    return folder


WRAPPINGS: tuple[Wrap, ...] = (
    in_archive,
    in_archive,
    in_inflating_archive,
    in_archive_of_many,
    among_others,
    deep_down,
    among_many,
    repeated,
)
