"""Build the wheel alta-sdk-demo, which `alta demo` needs: the demo engine, two radiographs, the model's card.

    make demo-wheel

Takes an engine, or exports the demo model; gives alta_sdk_demo-VERSION-py3-none-any.whl, of alta-sdk's version.
Needs no network: the setuptools that torch brings builds it. The same engine gives the same wheel, byte for byte,
and so does the same demo model on the same machine: its export is dated by SOURCE_DATE_EPOCH, which is the date of
the model's file unless the caller sets it.
"""

import csv
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from alta_export.demo_model import find_inputs
from alta_export.options import DATE_VARIABLE, ExportOptions, read_stated_date
from alta_sdk import __version__
from alta_sdk.cli.option_groups import CONTEXT, PATH
from alta_sdk.cli.terminal import fail_in_one_line
from alta_sdk.engine.bundle import open_bundle
from alta_sdk.engine.manifest import MANIFEST_NAME
from alta_sdk.errors import ExportError

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
DATA = ROOT / "examples" / "data"
CARD = ROOT / "examples" / "models" / "demo" / "README.md"
PACKAGE = "alta_sdk_demo"
# Both PA, since of two views the view alone could make the difference; and of the test split.
RADIOGRAPHS = ("00001299_000.jpg", "00001637_001.jpg")
PRECISIONS = ("fp32", "fp16")  # run everywhere, and need no radiographs to be calibrated on
COLUMNS = ("file", "view", "finding")
EARLIEST = "315532800"  # 1980, where the times of a zip begin


@click.command(context_settings=CONTEXT)
@click.option("--engine", type=PATH, help="An engine that alta-export wrote. [default: export the demo model now]")
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default=PRECISIONS[0],
    show_default=True,
    help="What to export the demo model in, without --engine.",
)
@click.option("--output", type=PATH, default=ROOT / "dist", help="Folder for the wheel. [default: dist/]")
@fail_in_one_line
def main(engine: Path | None, precision: str, output: Path) -> None:
    """Build the wheel of the demo engine."""
    os.umask(0o022)  # whatever this machine's is: modes are in the wheel
    if engine is None:
        os.environ.setdefault(DATE_VARIABLE, date_of_demo())
    read_stated_date()  # refused before the work
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch) / "tree"
        stage_tree(engine or export_demo(Path(scratch) / "demo.alta", precision), tree)
        build_wheel(tree, output)
    wheel = output / f"{PACKAGE}-{__version__}-py3-none-any.whl"
    click.echo(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB, in {output}")


def date_of_demo() -> str:
    """Return the date of the demo model's file, in whole seconds since 1970."""
    checkpoint, _, _ = find_inputs(None, None, None)
    return str(int(checkpoint.stat().st_mtime))


def export_demo(bundle: Path, precision: str) -> Path:
    """Export the demo model to a bundle, as `alta-export` alone does, and return its path."""
    from alta_export.cli import show_stage
    from alta_export.pipeline import export_engine

    return export_engine(ExportOptions(*find_inputs(None, None, bundle), precision=precision), show_stage).path


def stage_tree(engine: Path, tree: Path) -> None:
    """Put everything that the wheel is built of into the new folder tree; the engine is verified first."""
    bundle = open_bundle(engine)
    package = tree / PACKAGE
    for folder in ("demo.alta", "radiographs"):
        (package / folder).mkdir(parents=True)
    for file in bundle.manifest.files:  # nothing else that may lie there, as thresholds
        (package / "demo.alta" / file.name).write_bytes(bundle.read(file.name))
    (package / "demo.alta" / MANIFEST_NAME).write_bytes(bundle.manifest.render())
    for name in RADIOGRAPHS:
        shutil.copyfile(DATA / name, package / "radiographs" / name)
    shutil.copyfile(CARD, package / "MODEL_CARD.md")
    shutil.copyfile(HERE / PACKAGE / "__init__.py", package / "__init__.py")
    write_findings(package / "radiographs")
    for source in (ROOT / "LICENSE", ROOT / "NOTICE", HERE / "README.md", HERE / "pyproject.toml"):
        shutil.copyfile(source, tree / source.name)
    (tree / "VERSION").write_text(__version__, encoding="utf-8")


def write_findings(folder: Path) -> None:
    """Write where the radiographs come from (README.md) and what the data set says of them (findings.csv).

    Both are of the README of all sample radiographs, without the rows of those that are left out.
    """
    lines = (DATA / "README.md").read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not line.startswith("| `") or line.split("`")[1] in RADIOGRAPHS]
    rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in kept if line.startswith("| `")]
    if [row[0] for row in rows] != list(RADIOGRAPHS):
        raise ExportError("examples/data/README.md does not say of each radiograph what the data set calls it")
    (folder / "README.md").write_text("\n".join(kept) + "\n", encoding="utf-8")
    with (folder / "findings.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])


def build_wheel(tree: Path, output: Path) -> None:
    """Build the wheel of tree into the folder output. Raises ExportError with what pip said last."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-index"]
    command += ["--no-deps", "--no-build-isolation", "--wheel-dir", str(output), str(tree)]
    environment = {"SOURCE_DATE_EPOCH": EARLIEST, **os.environ}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or ["nothing"]
        raise ExportError(f"the wheel could not be built; pip said: {said[-1]}")


if __name__ == "__main__":
    main()
