"""Count what is lost: updates of two processes that write at once, and files of others under `--overwrite`.

python tests/faults/count_losses.py --updates 1000 --foreign 100

Updates: two processes meet at a barrier and then calibrate two labels of one engine, write one file, fill one folder,
make one site key or begin one index; nothing that was said to be done may be missing. Foreign: each command that
writes is told to overwrite a file or folder that it did not write; whatever is in it must be there afterwards, byte
for byte. 0 of each is right.
"""

import multiprocessing
import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
from foreign_files import COMMANDS, Trial, try_command

from alta_sdk import AltaError, Matcher, StudyEmbedding
from alta_sdk.engine.vectors import to_unit_length
from alta_sdk.files.folders import new_folder
from alta_sdk.files.targets import write_target
from alta_sdk.index.journal import open_journal
from alta_sdk.index.search import IndexOrigin
from alta_sdk.matching import operating_point
from alta_sdk.matching.thresholds import locate_sidecar
from alta_sdk.study.key import open_site_key

LABELS = ("edema", "pneumonia")
WIDTH = 8
TIMEOUT_S = 120
Kinds = dict[str, Callable[[int, Path], str]]


def serve(number: int, engine: Path, barrier: Barrier, pipe: Connection) -> None:
    """Do what is asked for, at the same moment as the other process; answer with what was done, "" if refused."""
    kinds = make_kinds(Matcher(engine, runtime="onnxruntime", threads=1))
    pipe.send("ready")
    while (asked := pipe.recv()) is not None:
        kind, folder = asked
        barrier.wait(TIMEOUT_S)
        try:
            pipe.send(kinds[kind](number, folder))
        except (AltaError, FileExistsError):
            pipe.send("")


def make_kinds(matcher: Matcher) -> Kinds:
    """Return what the processes do, by kind."""
    operating_point.RESAMPLES = 5  # the writing is what is tried
    studies = {label: lean(matcher, label) for label in LABELS}
    truth = [True] * 30 + [False] * 30

    def calibrate(number: int, folder: Path) -> str:
        matcher.calibrate(studies[LABELS[number]], truth, LABELS[number])
        return LABELS[number]

    def write_file(number: int, folder: Path) -> str:
        write_target(folder / "file", b"%d" % number, "report", overwrite=False, is_ours=bool)
        return str(number)

    def write_folder(number: int, folder: Path) -> str:
        with new_folder(folder / "made", list_own=lambda _: {"file"}) as made:
            (made / "file").write_text(str(number), encoding="ascii")
        return str(number)

    def make_key(number: int, folder: Path) -> str:
        os.environ["XDG_CONFIG_HOME"] = str(folder)
        return open_site_key(None, folder)[0].fingerprint

    def begin_index(number: int, folder: Path) -> str:
        origin = IndexOrigin("studies", "engine", "frontal")
        with open_journal(folder / "a.index.journal", origin, WIDTH) as journal:
            journal.add(bytes([number]) * 16, np.full(WIDTH, number, dtype=np.float32))
            (folder / str(number)).touch()
            if (folder / str(1 - number)).exists():  # the other one holds it, too
                (folder / "both").touch()
            (folder / str(number)).unlink()
        return str(number)

    return {
        "calibrate": calibrate,
        "file": write_file,
        "folder": write_folder,
        "site key": make_key,
        "index": begin_index,
    }


def lean(matcher: Matcher, label: str) -> list[StudyEmbedding]:
    """Return sixty embeddings of which the first thirty lean to the label."""
    text = matcher.embed_text([f"There is {label}", f"There is no {label}"])
    noise = np.random.default_rng(0).standard_normal((60, text.shape[1])) * 0.01
    vectors = to_unit_length(noise + np.repeat(text, 30, axis=0))
    return [StudyEmbedding(vector, matcher.fusion_mode, matcher.engine.manifest.sha256) for vector in vectors]


def is_lost(kind: str, done: tuple[str, str], folder: Path, sidecar: Path) -> bool:
    """True if something that was said to be done is not there, or nothing was done at all."""
    said = [one for one in done if one]
    if kind == "calibrate":
        text = sidecar.read_text(encoding="ascii")
        return not said or any(f'"label": "{label}"' not in text for label in said)
    if kind == "site key":
        return len(said) != 2 or said[0] != said[1]
    if kind == "index":
        return not said or (folder / "both").exists() or bool(list(folder.glob("a.index*")))
    written = folder / "file" if kind == "file" else folder / "made" / "file"
    return len(said) != 1 or written.read_text(encoding="ascii") != said[0]


def count_lost_updates(rounds: int, engine: Path, scratch: Path) -> Counter[str]:
    """Let two processes meet so many times, in turn over the kinds; count rounds and losses by kind."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    pipes = [context.Pipe() for _ in range(2)]
    workers = [context.Process(target=serve, args=(n, engine, barrier, pipes[n][1])) for n in range(2)]
    for worker in workers:
        worker.start()
    for pipe, _ in pipes:
        pipe.recv()
    counts: Counter[str] = Counter()
    sidecar = locate_sidecar(Matcher(engine, runtime="onnxruntime", threads=1).engine.bundle)
    kinds = ("calibrate", "calibrate", "file", "folder", "site key", "index")  # the first is the issue's
    for number in range(rounds):
        kind, folder = kinds[number % len(kinds)], scratch / str(number)
        folder.mkdir()
        sidecar.unlink(missing_ok=True)
        for pipe, _ in pipes:
            pipe.send((kind, folder))
        done = (pipes[0][0].recv(), pipes[1][0].recv())
        counts[kind] += 1
        counts[f"{kind} lost"] += is_lost(kind, done, folder, sidecar)
        shutil.rmtree(folder)
    for pipe, _ in pipes:
        pipe.send(None)
    for worker in workers:
        worker.join()
    return counts


@click.command()
@click.option("--updates", default=1000, show_default=True, help="Meetings of two processes, over all kinds.")
@click.option("--foreign", default=100, show_default=True, help="Foreign files or folders, for each command.")
@click.option("--seed", default=0, show_default=True)
@click.option("--commands", default=",".join(COMMANDS), help="Those to try. [default: all]")
@click.option("--engine", type=click.Path(path_type=Path), help="An engine. [default: exports one]")
def main(updates: int, foreign: int, seed: int, commands: str, engine: Path | None) -> None:
    """Print what was lost, by kind and by command; exits with 1 if anything was."""
    lost = 0
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        own = make_engine(scratch / "own.alta", engine)
        os.environ["XDG_CONFIG_HOME"] = str(scratch / "settings")
        counts = count_lost_updates(updates, own, scratch) if updates else Counter()
        print(f"{'updates at once':28}{'rounds':>8}{'lost':>8}")
        for kind in [kind for kind in counts if not kind.endswith(" lost")]:
            print(f"{kind:28}{counts[kind]:8}{counts[f'{kind} lost']:8}", flush=True)
            lost += counts[f"{kind} lost"]
        print(f"{'foreign files under':28}{'trials':>8}{'refused':>8}{'lost':>8}")
        for command in commands.split(",") if foreign else ():
            generator = random.Random(f"{seed} {command}")
            results = Counter[str]()
            for number in range(foreign):
                folder = scratch / f"{number}"
                folder.mkdir()
                results.update(try_command(Trial(command, folder, own, generator)))
                shutil.rmtree(folder)
            print(f"{command:28}{foreign:8}{results['refused']:8}{results['lost']:8}", flush=True)
            lost += results["lost"]
    print(f"lost: {lost}")
    sys.exit(lost > 0)


def make_engine(path: Path, given: Path | None) -> Path:
    """Copy the given engine, or export a small random one; thresholds are written beside it."""
    if given is not None:
        return Path(shutil.copytree(given, path))
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from conftest import export_quietly, make_sizes

    from alta_export.options import ExportOptions
    from alta_training.data.synthetic import make_random_model, write_text_model
    from alta_training.families.checkpoint import save_checkpoint

    model = make_random_model(make_sizes(), seed=3)
    write_text_model(path.parent / "text-model", model.sizes.text.config)
    save_checkpoint(model, path.parent / "model.safetensors", {"notice": "RANDOM TEST MODEL"})
    export_quietly(ExportOptions(path.parent / "model.safetensors", path.parent / "text-model", path))
    return path


if __name__ == "__main__":
    main()
