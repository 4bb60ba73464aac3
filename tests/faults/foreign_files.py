"""Foreign files in the way of each command that writes: made, the command told to overwrite, and looked at again."""

import functools
import importlib.util
import io
import json
import os
import random
import shutil
import stat
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from click.testing import CliRunner
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
RADIOGRAPH = sorted((ROOT / "examples" / "data").glob("*.jpg"))[0]
DEMO = ROOT / "examples" / "models" / "demo"
NAMES = ("thesis.txt", "photo.png", "table.csv", "page.html", ".hidden", "Änderung.docx", "a b", "manifest.json")


@dataclass(frozen=True)
class Trial:
    """One trial: the command, a new folder for it, an engine, and the dice."""

    command: str
    folder: Path
    engine: Path
    generator: random.Random

    @property
    def out(self) -> Path:
        """Where the command is told to write."""
        return self.folder / COMMANDS[self.command].name


@dataclass(frozen=True)
class Writer:
    """A command that writes: what its output is called, whether a folder, and how it is started."""

    name: str
    arguments: Callable[[Trial], list[object]]
    program: str = "alta"
    is_folder: bool = False
    own: Callable[[Path], None] | None = None


def reading(trial: Trial) -> list[object]:
    """Return the options that every command with an engine has."""
    return ["--engine", trial.engine]


def copy_engine(out: Path) -> None:
    """Put an engine there, so that foreign files lie among a command's own."""
    shutil.copytree(out.parent.parent / "own.alta", out)


def copy_published(out: Path) -> None:
    """Put a published model there."""
    out.mkdir()
    shutil.copytree(DEMO / "text-model", out / "text-model")
    shutil.copyfile(DEMO / "README.md", out / "README.md")
    shutil.copyfile(DEMO / "demo.safetensors", out / f"{out.name}.safetensors")


def write_run(out: Path) -> None:
    """Put a run's folder there, as a kill leaves it."""
    (out / "text-model").mkdir(parents=True)
    (out / "recipe.toml").write_text("epochs = 1\n", encoding="utf-8")


SCORE = ["score", RADIOGRAPH, "--labels", "rsna", "--overwrite"]
LOCATE = ["locate", RADIOGRAPH, "--phrase", "edema", "--overwrite"]
RANK = ["rank", RADIOGRAPH, "--reports", ROOT / "README.md", "--overwrite"]
FIT = ["--backbone", DEMO / "demo.safetensors", "--data", "none.csv"]
COMMANDS = {
    "score --csv": Writer("run.csv", lambda t: [*SCORE, "--csv", t.out, *reading(t)]),
    "score --html": Writer("run.html", lambda t: [*SCORE, "--html", t.out, *reading(t)]),
    "locate --output": Writer("heat.png", lambda t: [*LOCATE, "--output", t.out, *reading(t)]),
    "locate --dicom": Writer("heat.dcm", lambda t: [*LOCATE, "--dicom", t.out, *reading(t)]),
    "rank --write-index": Writer(
        "reports.index",
        lambda t: [
            "rank",
            RADIOGRAPH,
            "--reports",
            ROOT / "README.md",
            "--write-index",
            t.out,
            "--overwrite",
            *reading(t),
        ],
    ),
    "embed --out": Writer("a.index", lambda t: ["embed", RADIOGRAPH.parent, "--out", t.out, *reading(t)]),
    "embed's journal": Writer(
        "a.index.journal", lambda t: ["embed", RADIOGRAPH.parent, "--out", t.folder / "a.index", *reading(t)]
    ),
    "bench --plot": Writer(
        "speed.png", lambda t: ["bench", t.engine, "--plot", t.out, "--overwrite", "--rounds", 3, "--max-batch", 1]
    ),
    "keygen": Writer("site.key", lambda t: ["keygen", t.out]),
    "alta-export --output": Writer(
        "x.alta",
        lambda t: ["--checkpoint", DEMO / "demo.safetensors", "--output", t.out, "--overwrite"],
        "alta-export",
        is_folder=True,
        own=copy_engine,
    ),
    "publish.py --output": Writer(
        "model",
        lambda t: [t.folder / "run", "--output", t.out, "--data", t.folder / "none.csv", "--overwrite"],
        "publish",
        is_folder=True,
        own=copy_published,
    ),
    "fit.py --output": Writer("run", lambda t: [*FIT, "--output", t.out], "fit", is_folder=True, own=write_run),
    "pretrain.py --output": Writer(
        "run", lambda t: ["--data", "none.csv", "--output", t.out], "pretrain", is_folder=True, own=write_run
    ),
    "pair.py --output": Writer(
        "train.csv", lambda t: ["--radiographs", "none.csv", "--output", t.out, "--overwrite"], "pair"
    ),
    "teach.py --output": Writer(
        "teacher.npz",
        lambda t: ["none.onnx", "--tokenizer", "none.json", "--data", "none.csv", "--output", t.out, "--overwrite"],
        "teach",
    ),
    "import_backbone.py --output": Writer(
        "tower.safetensors", lambda t: ["none.onnx", "--output", t.out, "--overwrite"], "import_backbone"
    ),
    "cross_validate.py --markdown": Writer(
        "arms.md",
        lambda t: [
            *(
                ROOT / "training" / "alta_training" / "recipes" / "demo-arms.toml",
                "--backbone",
                DEMO / "demo.safetensors",
            ),
            *("--radiographs", "none.csv", "--cache", t.folder / "cache", "--output", t.folder / "arms"),
            *("--markdown", t.out),
        ],
        "cross_validate",
    ),
}


def try_command(trial: Trial) -> list[str]:
    """Put something foreign in a command's way and run it; say "refused" if it failed, "lost" if anything is gone."""
    writer = COMMANDS[trial.command]
    if writer.is_folder:
        make_folder(trial, writer)
    else:
        trial.out.write_bytes(make_content(trial.generator))
    before = take_picture(trial.out)
    program = load_program(writer.program)
    done = CliRunner().invoke(program, [str(argument) for argument in writer.arguments(trial)])
    after = take_picture(trial.out)
    is_lost = any(after.get(name) != content for name, content in before.items())
    return [*(["refused"] if done.exit_code else []), *(["lost"] if is_lost else [])]


@functools.cache
def load_program(name: str) -> click.Command:
    """Return a command of the project."""
    if name == "alta":
        from alta_sdk.cli import main

        return main
    if name == "alta-export":
        from alta_export.cli import main as export

        return export
    if str(ROOT / "training") not in sys.path:
        sys.path.insert(0, str(ROOT / "training"))  # cross_validate.py imports its neighbours
    spec = importlib.util.spec_from_file_location(f"training_{name}", ROOT / "training" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    command: click.Command = module.main
    return command


def make_folder(trial: Trial, writer: Writer) -> None:
    """Make a folder of somebody's, or one of the command's with something of somebody's in it."""
    generator = trial.generator
    if writer.own is not None and generator.random() < 0.5:
        writer.own(trial.out)
    else:
        trial.out.mkdir()
    folders = [trial.out, *(entry for entry in trial.out.iterdir() if entry.is_dir())]
    for _ in range(generator.randint(1, 3)):
        folder = generator.choice([*folders, trial.out / "Documents", trial.out / ".config" / "deep"])
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{generator.randrange(1000)}{generator.choice(NAMES)}"
        if os.name != "nt" and generator.random() < 0.2:
            file.symlink_to(generator.choice(["..", "/dev/null", "nowhere"]))
        else:
            file.write_bytes(make_content(generator))


def make_content(generator: random.Random) -> bytes:
    """Return the content of a file that no command here wrote, which may be of a kind that one writes."""
    kinds: list[Callable[[], bytes]] = [
        lambda: b"The thesis.\n" * generator.randint(1, 2000),
        lambda: generator.randbytes(generator.randint(1, 5000)),
        lambda: b"study,score\n1,0.5\n",
        lambda: b"image_path,report_content\na.png,There is edema.\n",
        lambda: b"<!DOCTYPE html>\n<title>Scores of the choir</title>\n",
        lambda: json.dumps({"manifest_version": 3, "name": "an extension"}).encode(),
        lambda: b"# AUC of my own\n",
        lambda: b"SQLite format 3\0" + generator.randbytes(200),
        lambda: (8).to_bytes(8, "little") + b'{"a":{}}',
        _make_png,
        _make_zip,
        lambda: b"\0" * 128 + b"DICM" + generator.randbytes(100),
        lambda: b"ALTA",
    ]
    return generator.choice(kinds)()


def _make_png() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.arange(900, dtype=np.uint8).reshape(30, 30)).save(buffer, format="PNG")
    return buffer.getvalue()


def _make_zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("letter.txt", "Dear all")
    return buffer.getvalue()


def take_picture(path: Path) -> dict[str, bytes]:
    """Return every file and link at a path or in it, with its content."""
    entries = [path, *(path.rglob("*") if path.is_dir() else ())]
    return {str(entry.relative_to(path.parent)): _read(entry) for entry in entries}


def _read(entry: Path) -> bytes:
    mode = entry.lstat().st_mode
    if stat.S_ISLNK(mode):
        return b"link to " + os.fsencode(os.readlink(entry))
    return entry.read_bytes() if stat.S_ISREG(mode) else b"folder"
