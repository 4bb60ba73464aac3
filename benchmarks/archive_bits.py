"""Compare archives with the index of `alta embed`, to the last bit: made here, on Ray, on Dask and in parts.

python benchmarks/archive_bits.py --engine build/demo.alta --studies ../shared/data/nih_cxr/images

Files that cannot be read lie among the radiographs. Nothing is timed. Exits with 1 if anything differs.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from alta_sdk import ReportIndex
from alta_sdk.archive.parts import count_dead, open_parts, read_dead
from alta_sdk.archive.table import Archive, take_vectors
from alta_sdk.files.opening import read_bytes

WAYS = ("local", "ray", "dask", "shard")
SHARDS = 3
Vectors = dict[str, NDArray[np.float32]]


def write_studies(source: Path, folder: Path, bad: int) -> int:
    """Copy radiographs and put files beside them that cannot be read, of four kinds; return how many are whole."""
    folder.mkdir()
    whole = sorted(one for one in source.iterdir() if one.suffix.lower() in (".jpg", ".jpeg", ".png", ".dcm"))
    for one in whole:
        shutil.copyfile(one, folder / one.name)
    for number in range(bad):
        data = read_bytes(whole[number * len(whole) // bad])
        kinds = (b"", b"no radiograph at all", data[: len(data) // 3], data[:64] + bytes(4096))
        kind = number % len(kinds)
        # Without a head of any kind only the name says that a file is meant to be a radiograph.
        (folder / f"bad{number:02}{'.dcm' if kind < 2 else whole[0].suffix}").write_bytes(kinds[kind])
    return len(whole)


def run_alta(studies: Path, engine: Path, out: Path, *more: str) -> dict[str, object]:
    """Run `alta embed` and return what it told; it ends with 1, or with 0 for a part without a bad file."""
    command = ["embed", studies, "--engine", engine, "--out", out, "--json", *more]
    program = [sys.executable, "-c", "from alta_sdk.cli import main; main()"]
    environment = {**os.environ, "ALTA_SITE_KEY": str(studies.with_name("site.key"))}
    done = subprocess.run([*program, *map(str, command)], env=environment, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1) or not done.stdout:
        sys.exit(done.stderr)
    found: dict[str, object] = json.loads(done.stdout)
    return found


def embed_one_way(way: str, studies: Path, engine: Path, workers: int) -> Path:
    """Make an archive; return its path."""
    out = studies.with_name(f"{way}.lance")
    more = ["--workers", str(workers), "--shard-studies", "50"]
    for number in range(SHARDS if way == "shard" else 1):
        where = ["--shard", f"{number}/{SHARDS}"] if way == "shard" else ["--on", way]
        run_alta(studies, engine, out, *more, *where)
    return out


def compare(out: Path, index: Vectors) -> dict[str, int]:
    """Return how many rows differ from the index's, and how."""
    table = Archive(str(out)).table.to_table(columns=["key", "vector"])
    keys = [key.hex() for key in table["key"].to_pylist()]
    rows = list(zip(keys, take_vectors(table), strict=True))
    return {
        "missing": len(index.keys() - set(keys)),
        "too many": sum(key not in index for key in keys),
        "twice": len(keys) - len(set(keys)),
        "different": sum(key in index and index[key].tobytes() != row.tobytes() for key, row in rows),
    }


@click.command()
@click.option("--engine", required=True, type=click.Path(path_type=Path))
@click.option("--studies", "source", required=True, type=click.Path(path_type=Path), help="A folder of radiographs.")
@click.option("--bad", default=12, show_default=True, help="Files that cannot be read.")
@click.option("--workers", default=2, show_default=True)
@click.option("--way", "ways", multiple=True, default=WAYS, type=click.Choice(WAYS))
def main(engine: Path, source: Path, bad: int, workers: int, ways: tuple[str, ...]) -> None:
    """Print a line for each way of making the archive."""
    with tempfile.TemporaryDirectory() as name:
        studies = Path(name) / "studies"
        key = studies.with_name("site.key")
        key.write_text("0a" * 32 + "\n", encoding="ascii")
        key.chmod(0o600)
        whole = write_studies(source, studies, bad)
        told = run_alta(studies, engine.absolute(), studies.with_name("a.index"))
        opened = ReportIndex.open(studies.with_name("a.index"))
        index = dict(zip(opened.keys, opened.vectors_by_row(), strict=True))
        unread = told["unread"]
        assert isinstance(unread, list)
        dead = dict(sorted(Counter(one["error"]["class"] for one in unread).items()))
        facts = f"index of {len(index)} studies, {told['twins']} twice, unreadable {dead}"
        print(f"{whole} radiographs, {bad} bad files: {facts}", flush=True)
        is_same = len(index) > 0
        for way in ways:
            out = embed_one_way(way, studies, engine.absolute(), workers)
            found, letters = compare(out, index), count_dead(read_dead(open_parts(str(out))))
            is_same = is_same and not any(found.values()) and letters == dead
            print(f"{way}: {len(Archive(str(out)))} studies, {found}, unreadable {letters}", flush=True)
    sys.exit(not is_same)


if __name__ == "__main__":
    main()
