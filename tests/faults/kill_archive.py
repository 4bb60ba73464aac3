"""Kill workers, drivers and Ray's own processes while an archive is embedded: no study is lost, doubled or wrong.

python tests/faults/kill_archive.py --times 100 --engine NAME.alta --on local

Each driver is started again when it was killed, as a person does, until so many kills are done; then it may finish.
POSIX only, as SIGKILL is.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import click
import numpy as np
from PIL import Image

from alta_sdk import ReportIndex

HERE = Path(__file__).resolve().parent
SHARD, WORKERS = 4, 2
COUNT = "ALTA_TEST_COUNT"  # of counted_shards.py; the processes of a trial are known by it
SHARES = {"worker": 0.7, "driver": 0.15, "raylet": 0.15}


@dataclass
class Trial:
    """Studies that are embedded, and how often a shard of them was begun."""

    folder: Path
    engine: Path
    on: str
    studies: int
    killed: Counter[str] = field(default_factory=Counter)
    rounds: int = 0

    @property
    def out(self) -> Path:
        """The archive."""
        return self.folder / "a.lance"

    def start(self) -> subprocess.Popen[bytes]:
        """Start a driver, in a session of its own."""
        more = ["--workers", str(WORKERS), "--shard-studies", str(SHARD), "--on", self.on, "--any-picture"]
        command = [sys.executable, HERE / "counted_shards.py", "embed", self.folder / "studies", *more]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]),
            COUNT: str(self.folder / "count"),
            "XDG_CONFIG_HOME": str(self.folder / "settings"),
        }
        log = open(self.folder / "log", "ab")  # noqa: SIM115  (the driver's, as long as it lives)
        arguments = [*map(str, command), "--engine", str(self.engine), "--out", str(self.out)]
        return subprocess.Popen(arguments, env=environment, stdout=log, stderr=log, start_new_session=True)

    def parts(self) -> int:
        """How many shards are finished."""
        names = os.listdir(f"{self.out}.parts") if os.path.isdir(f"{self.out}.parts") else []
        return sum(not name.startswith(".") and not name.endswith(".looked.parquet") for name in names)

    def begun(self) -> int:
        """How many shards were begun."""
        return (self.folder / "count").stat().st_size if (self.folder / "count").exists() else 0


def list_processes(trial: Trial) -> Iterator[tuple[int, str]]:
    """Yield the processes of a trial, each with the command that it is: they inherit its variable."""
    mark = f"{COUNT}={trial.folder / 'count'}".encode()
    for path in Path("/proc").iterdir():
        try:
            if path.name.isdigit() and mark in (path / "environ").read_bytes().split(b"\0"):
                yield int(path.name), (path / "cmdline").read_text().replace("\0", " ")
        except OSError:  # ended meanwhile, or somebody else's
            continue


def find_kind(command: str) -> str | None:
    """Tell what a process is: a worker of this machine's, Dask's or Ray's, a raylet, or nothing that is killed."""
    if "raylet/raylet" in command:
        return "raylet"
    is_rays = command.startswith("ray::") and "Agent" not in command or "default_worker" in command
    return "worker" if is_rays or "spawn_main" in command else None


def choose_victim(trial: Trial, driver: subprocess.Popen[bytes], generator: random.Random) -> tuple[int, str] | None:
    """Return a process and what it is: a worker mostly, the driver and Ray's raylet sometimes."""
    found: dict[str, list[int]] = {"driver": [driver.pid]}
    for pid, command in list_processes(trial):
        if kind := find_kind(command):
            found.setdefault(kind, []).append(pid)
    kinds = generator.choices(*zip(*SHARES.items(), strict=True))
    return (generator.choice(found[kinds[0]]), kinds[0]) if kinds[0] in found else None


def end_all(trial: Trial, driver: subprocess.Popen[bytes]) -> None:
    """Remove what a driver left running: Ray's processes outlive it for a while."""
    for pid, _ in list(list_processes(trial)):
        _kill(pid)
    driver.wait()


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def start_until_it_works(trial: Trial) -> subprocess.Popen[bytes]:
    """Start a driver and wait for its first part, or its end: so that what is killed then is at work."""
    before, driver = trial.parts(), trial.start()
    while trial.parts() <= before and driver.poll() is None:
        time.sleep(0.05)
    return driver


def kill_so_often(trial: Trial, times: int, generator: random.Random) -> None:
    """Kill until enough is killed; a driver that finished before that begins anew on an empty place."""
    driver = start_until_it_works(trial)
    while sum(trial.killed.values()) < times:
        time.sleep(generator.uniform(0.0, 2.0))
        if driver.poll() is not None:
            if driver.returncode == 0:
                check(trial)
                remove(trial)
            end_all(trial, driver)
            driver = start_until_it_works(trial)
        elif victim := choose_victim(trial, driver, generator):
            _kill(victim[0])
            trial.killed[victim[1]] += 1
            if victim[1] == "driver":
                end_all(trial, driver)
                driver = start_until_it_works(trial)
    for _ in range(10):
        if driver.wait() == 0:
            break
        end_all(trial, driver)
        driver = trial.start()
    check(trial)


def remove(trial: Trial) -> None:
    """Begin anew, but for what counts."""
    for end in ("", ".parts"):
        shutil.rmtree(f"{trial.out}{end}", ignore_errors=True)


def check(trial: Trial) -> None:
    """Compare the archive with an index of the same studies; print and exit with 1 if it is not the same."""
    import lance

    table = lance.dataset(str(trial.out)).to_table()
    keys = [key.hex() for key in table["key"].to_pylist()]
    index = ReportIndex.open(trial.folder / "whole.index")
    vectors = dict(zip(index.keys, index.vectors_by_row(), strict=True))
    wrong = sum(
        not np.array_equal(vectors.get(key, np.zeros(0)), np.array(vector, dtype=np.float32))
        for key, vector in zip(keys, table["vector"].to_pylist(), strict=True)
    )
    doubled, lost = len(keys) - len(set(keys)), len(vectors.keys() - set(keys))
    trial.rounds += 1
    print(f"{len(keys)} rows: {lost} lost, {doubled} doubled, {wrong} wrong; so far {dict(trial.killed)}", flush=True)
    if lost or doubled or wrong:
        print((trial.folder / "log").read_text()[-2000:], file=sys.stderr)
        sys.exit(1)


def make_trial(folder: Path, engine: Path, on: str, studies: int) -> Trial:
    """Write studies and embed them once, into an index."""
    (folder / "studies").mkdir()
    generator = np.random.default_rng(0)
    for number in range(studies):
        Image.fromarray(generator.integers(0, 255, (230, 230), dtype=np.uint8)).save(
            folder / f"studies/{number:03}.png"
        )
    environment = {**os.environ, "XDG_CONFIG_HOME": str(folder / "settings")}
    arguments = [
        Path(sys.executable).with_name("alta"),
        "embed",
        folder / "studies",
        "--engine",
        engine,
        "--out",
        folder / "whole.index",
        "--any-picture",
    ]
    subprocess.run([*map(str, arguments)], env=environment, check=True, capture_output=True)
    return Trial(folder, engine, on, studies)


@click.command()
@click.option("--times", default=100, show_default=True, help="How many processes to kill.")
@click.option("--studies", default=200, show_default=True)
@click.option("--on", default="local", show_default=True, help="local, ray or dask.")
@click.option("--seed", default=0, show_default=True)
@click.option("--engine", required=True, type=click.Path(path_type=Path), help="An engine to embed with.")
def main(times: int, studies: int, on: str, seed: int, engine: Path) -> None:
    """Print what was killed, what is in the archive, and how many shards were begun more than once."""
    with tempfile.TemporaryDirectory() as name:
        trial = make_trial(Path(name), engine.absolute(), on, studies)
        kill_so_often(trial, times, random.Random(seed))
        needed, begun, killed = trial.rounds * -(-studies // SHARD), trial.begun(), sum(trial.killed.values())
        print(f"{on}: killed {dict(trial.killed)}; {begun} shards begun, {needed} needed, {trial.rounds} archives")
        if begun > needed + WORKERS * killed:
            sys.exit("more than a shard was done again for each kill and worker")


if __name__ == "__main__":
    main()
