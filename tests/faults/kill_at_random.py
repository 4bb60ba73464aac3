"""Kill export, embed, calibrate and index writing at random moments: the disk holds the old state or the new.

python tests/faults/kill_at_random.py --times 200

Each trial forks a process, lets it work, sends it SIGKILL after a random time and then reads what is on
disk as a user's program would, every hash checked. POSIX only, as SIGKILL is.
"""
# ruff: noqa: E402  (threads are chosen before numpy is imported)

import contextlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")  # threads and fork do not go together

import click
import numpy as np
from PIL import Image

from alta_sdk import EngineError, Matcher, ReportIndex, StudyEmbedding
from alta_sdk.engine.bundle import open_bundle
from alta_sdk.engine.manifest import Manifest
from alta_sdk.engine.vectors import to_unit_length
from alta_sdk.index.embedding import embed_folder, list_entries
from alta_sdk.index.search import IndexOrigin
from alta_sdk.matching.thresholds import load_thresholds
from alta_sdk.study.key import SiteKey
from alta_sdk.study.study import load_study

TESTS = Path(__file__).resolve().parents[1]
ENTRIES, STUDIES = 20_000, 40
Ready = Callable[[], None]


@dataclass
class Operation:
    """Work that may be killed, and a look at the disk that says "old", "new", or raises.

    longest_s: trials are killed between 0 and this many seconds after the work has begun.
    """

    work: Callable[[Ready], None]
    look: Callable[[], str]
    longest_s: float
    seen: Counter[str] = field(default_factory=Counter)


def run_killed(work: Callable[[Ready], None], after_s: float | None) -> bool:
    """Run work in a forked process and kill it; True if it had not ended by itself.

    after_s: None lets it end, and raises if it fails.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            work(lambda: os.write(writer, b"r") and None)
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
            os._exit(1)
        os._exit(0)
    os.close(writer)
    if not os.read(reader, 1):
        raise RuntimeError("the work failed before it began")
    os.close(reader)
    if after_s is not None:
        time.sleep(after_s)
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise RuntimeError("the work failed")
    return os.WIFSIGNALED(status)


def make_export(folder: Path) -> Operation:
    """An engine is exported over an older one, from the checkpoint on: most of it writes nothing."""
    sys.path.insert(0, str(TESTS))
    from conftest import export_quietly, make_sizes

    from alta_export.options import ExportOptions
    from alta_training.data.synthetic import make_random_model, write_text_model
    from alta_training.families.checkpoint import save_checkpoint

    model = make_random_model(make_sizes(), seed=3)
    write_text_model(folder / "text-model", model.sizes.text.config)
    save_checkpoint(model, folder / "model.safetensors", {"notice": "RANDOM TEST MODEL"})
    path = folder / "test.alta"
    options = ExportOptions(
        checkpoint=folder / "model.safetensors", text_model=folder / "text-model", output=path, overwrite=True
    )

    def work(ready: Ready) -> None:
        ready()
        export_quietly(options)

    start = time.perf_counter()
    run_killed(work, None)
    longest_s = time.perf_counter() - start
    known = [open_bundle(path).manifest.sha256]

    def look() -> str:
        found = open_bundle(path).manifest.sha256
        is_old = found == known[0]
        known[0] = found
        return "old" if is_old else "new"

    return Operation(work, look, longest_s)


def make_bundle(folder: Path, engine: Path) -> Operation:
    """The last step of an export, where it writes: two engines replace each other, again and again."""
    from alta_export.bundle import write_bundle

    path = Path(shutil.copytree(engine, folder / "written.alta"))
    manifest = open_bundle(engine).manifest
    contents = {file.name: (engine / file.name).read_bytes() for file in manifest.files}
    with contextlib.suppress(ImportError):
        import openvino  # noqa: F401  (once here, and not in each trial)
    states = [replace(manifest, created=created) for created in ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z")]

    def write(state: Manifest) -> None:
        write_bundle(path, contents, lambda files: replace(state, files=files), overwrite=True)

    def work(ready: Ready) -> None:
        write(states[0])
        ready()
        while True:
            write(states[1])
            write(states[0])

    def look() -> str:
        found = open_bundle(path).manifest.sha256
        return {manifest.sha256: "old", states[0].sha256: "old", states[1].sha256: "new"}[found]

    start = time.perf_counter()
    run_killed(work, 0)
    return Operation(work, look, time.perf_counter() - start)


def make_index(folder: Path) -> Operation:
    """Two indexes are written over each other, again and again."""
    path, origin = folder / "a.index", IndexOrigin("studies", "engine", "frontal")
    keys = [number.to_bytes(16, "big") for number in range(ENTRIES)]
    states = [to_unit_length(np.random.default_rng(seed).standard_normal((ENTRIES, 64))) for seed in range(2)]
    ReportIndex.write(path, states[0], keys, origin)

    def work(ready: Ready) -> None:
        ready()
        while True:
            for vectors in reversed(states):
                ReportIndex.write(path, vectors, keys, origin)

    def look() -> str:
        found = ReportIndex.open(path).vectors
        return ("old", "new")[[np.array_equal(found, state) for state in states].index(True)]

    return Operation(work, look, 1.0)


def make_calibrate(matcher: Matcher) -> Operation:
    """Two thresholds of one label replace each other, again and again."""
    from alta_sdk.matching import operating_point

    operating_point.RESAMPLES = 5  # the writing is what is tried
    text = matcher.embed_text(["There is edema", "There is no edema"])
    noise = np.random.default_rng(0).standard_normal((60, text.shape[1])) * 0.01
    vectors = to_unit_length(noise + np.repeat(text, 30, axis=0))
    mode, sha256 = matcher.fusion_mode, matcher.engine.manifest.sha256
    studies = [StudyEmbedding(vector, mode, sha256) for vector in vectors]
    truth = [True] * 30 + [False] * 30
    matcher.calibrate(studies, truth, "edema")

    def work(ready: Ready) -> None:
        ready()
        while True:
            matcher.calibrate(studies, truth, "edema", target="sensitivity", at_least=0.9, overwrite=True)
            matcher.calibrate(studies, truth, "edema", overwrite=True)

    def look() -> str:
        (found,) = load_thresholds(matcher.engine.bundle).entries.values()
        return {"youden": "old", "sensitivity": "new"}[found.target]

    return Operation(work, look, 0.5)


def make_embed(folder: Path, matcher: Matcher) -> Operation:
    """A folder is embedded; each trial goes on where the last was killed, until the index is there."""
    studies = folder / "studies"
    studies.mkdir()
    generator = np.random.default_rng(0)
    for number in range(STUDIES):
        Image.fromarray(generator.integers(0, 255, (230, 230), dtype=np.uint8)).save(studies / f"{number}.png")
    (studies / "broken.dcm").write_bytes(b"not a study")
    out = folder / "b.index"

    def work(ready: Ready, to: Path = out) -> None:
        ready()
        for _ in embed_folder(matcher, list_entries(studies), to, SiteKey(b"k" * 32), load_study):
            pass

    start = time.perf_counter()
    run_killed(lambda ready: work(ready, folder / "whole.index"), None)
    longest_s = time.perf_counter() - start
    whole = (folder / "whole.index").read_bytes()

    def look() -> str:
        if not out.exists():
            return "old"
        if out.read_bytes() != whole or len(ReportIndex.open(out)) != STUDIES:
            raise EngineError("the index differs from that of a run that was not killed")
        out.unlink()
        return "new"

    return Operation(work, look, longest_s)


def prepare(names: list[str], folder: Path, engine: Path | None) -> dict[str, Operation]:
    """Return the operations, with an engine made by the export where none is given."""
    operations = {}
    if "export" in names or engine is None:
        operations["export"] = make_export(folder)
        engine = engine or folder / "engine.alta"
        if not engine.exists():
            shutil.copytree(folder / "test.alta", engine)
    if "bundle" in names:
        operations["bundle"] = make_bundle(folder, engine)
    if "index" in names:
        operations["index"] = make_index(folder)
    if {"calibrate", "embed"} & set(names):
        # onnxruntime with one thread keeps no other: it goes on working in a forked process.
        matcher = Matcher(engine, runtime="onnxruntime", threads=1)
        operations["calibrate"] = make_calibrate(matcher)
        operations["embed"] = make_embed(folder, matcher)
    return {name: operations[name] for name in names}


def choose_operation(operations: dict[str, Operation], number: int) -> Operation:
    """Take the operations in turn; a whole export, which is long, only every twentieth time."""
    quick = [name for name in operations if name != "export"]
    if "export" in operations and (number % 20 == 19 or not quick):
        return operations["export"]
    return operations[quick[number % len(quick)]]


def try_once(number: int, operation: Operation, generator: random.Random) -> None:
    """Kill an operation once, and count what is on disk then."""
    was_killed = run_killed(operation.work, generator.uniform(0, operation.longest_s))
    operation.seen["killed" if was_killed else "ended"] += 1
    try:
        operation.seen[operation.look()] += 1
    except Exception as error:
        operation.seen["neither"] += 1
        print(f"trial {number}: {type(error).__name__}: {error}", file=sys.stderr)


@click.command()
@click.option("--times", default=200, show_default=True, help="How many processes to kill, over all operations.")
@click.option("--seed", default=0, show_default=True)
@click.option("--operations", default="export,bundle,embed,calibrate,index", show_default=True)
@click.option("--engine", type=click.Path(path_type=Path), help="An engine to embed with. [default: exports one]")
def main(times: int, seed: int, operations: str, engine: Path | None) -> None:
    """Print how often each state was found; exits with 1 if any was neither."""
    generator = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        if engine is not None:  # thresholds are written beside it: not beside the user's own
            engine = Path(shutil.copytree(engine, Path(name) / "given.alta"))
        trials = prepare(operations.split(","), Path(name), engine)
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # one who stops it sees what was done so far
        try:
            for number in range(times):
                try_once(number, choose_operation(trials, number), generator)
                if (number + 1) % 20 == 0:
                    print(f"{number + 1} of {times}", file=sys.stderr, flush=True)
        finally:
            show(trials)
    sys.exit(any(operation.seen["neither"] for operation in trials.values()))


def show(trials: dict[str, Operation]) -> None:
    """Print how often each state was found."""
    columns = ("killed", "ended", "old", "new", "neither")
    print(f"{'operation':12}" + "".join(f"{column:>9}" for column in columns))
    for what, operation in trials.items():
        print(f"{what:12}" + "".join(f"{operation.seen[column]:9}" for column in columns), flush=True)


if __name__ == "__main__":
    main()
