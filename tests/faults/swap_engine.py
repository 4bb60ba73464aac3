"""Open an engine again and again while another thread swaps one of its files for a forged one.

python tests/faults/swap_engine.py NAME.alta --openings 1000

The forged file has the meanings of its prompts turned round. Half of the openings see it renamed over the true one,
half see it written in place, and back, every 2 ms. An opening is right if the engine has the exported prompts or is
refused by an error of ours; it is wrong if it has any others. 0 wrong ones are right.
"""

import itertools
import json
import os
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from alta_sdk import AltaError, Engine

SWAPPED = "prompts.json"
EVERY_S = 0.002
Change = Callable[[Path, bytes], None]


def replace_at_once(path: Path, data: bytes) -> None:
    """Change a file as a careful program does: the new one is renamed over it."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_bytes(data)
    os.replace(temporary, path)


def write_in_place(path: Path, data: bytes) -> None:
    """Change a file as a careless program does: its bytes are written over."""
    with open(path, "rb+") as file:
        file.write(data)
        file.truncate()


CHANGES: dict[str, Change] = {"renamed over": replace_at_once, "written in place": write_in_place}


def swap_meanings(data: bytes) -> bytes:
    """Forge the file: what was present is absent."""
    content = json.loads(data)
    for label in content["sets"]["rsna"].values():
        label["positive"], label["negative"] = label["negative"], label["positive"]
    return (json.dumps(content, indent=1) + "\n").encode()


def count_openings(bundle: Path, change: Change, openings: int) -> Counter[str]:
    """Open a bundle of one's own while its prompts change; count openings with the right ones, refused, wrong."""
    right = Engine.open(bundle, runtime="onnxruntime", threads=1).label_sets
    counts: Counter[str] = Counter()
    with _swapping(bundle / SWAPPED, change):
        for _ in range(openings):
            try:
                sets = Engine.open(bundle, runtime="onnxruntime", threads=1).label_sets
                counts["right" if sets == right else "wrong"] += 1
            except AltaError:
                counts["refused"] += 1
    return counts


@contextmanager
def _swapping(path: Path, change: Change) -> Iterator[None]:
    exported, stop = path.read_bytes(), threading.Event()

    def swap() -> None:
        for data in itertools.cycle((swap_meanings(exported), exported)):
            if stop.wait(EVERY_S):
                return
            change(path, data)

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        yield
    finally:
        stop.set()
        swapper.join()


@click.command()
@click.argument("engine", type=click.Path(path_type=Path))
@click.option("--openings", default=1000, show_default=True)
def main(engine: Path, openings: int) -> None:
    """Count openings of copies of ENGINE while they are swapped; exit with 1 if any was wrong."""
    wrong = 0
    click.echo(f"{'':18}{'opened':>8}{'refused':>9}{'wrong':>7}")
    for name, change in CHANGES.items():
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(shutil.copytree(engine, Path(folder) / "copy.alta"))
            counts = count_openings(copy, change, openings // len(CHANGES))
        click.echo(f"{name:18}{counts['right']:8}{counts['refused']:9}{counts['wrong']:7}")
        wrong += counts["wrong"]
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()
