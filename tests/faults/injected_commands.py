"""The commands that `inject_errors.py` lets fail, and what they read."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
MARK = "DOE_JANE"  # in every path that is given
SLOW = ("export", "pair")  # they import torch
STUDIES, LABELLED = 3, 40


def list_commands(engine: Path, data: Path, out: Path) -> dict[str, list[str]]:
    """Return a call of each command; out: where it may write, new for each trial."""
    read = ["--engine", str(engine), "--threads", "1"]
    study, studies, reports, index = (str(data / name) for name in ("study", "studies", "reports.txt", "index"))
    truth, key = str(data / "truth.csv"), [f"--key-file={data / 'key'}"]
    maps = [f"--output={out / 'a.png'}", f"--dicom={out / 'a.dcm'}"]
    written = [f"--csv={out / 'a.csv'}", f"--html={out / 'a.html'}", "--locate", "opacity"]
    return {
        "score": ["score", study, *read, "--labels", "edema,"],
        "score-many": ["score", studies, *read, "--labels", "chexpert5", "--explain", *written],
        "compare": ["compare", study, str(data / "earlier"), *read, "--labels", "edema,"],
        "locate": ["locate", study, *read, "--phrase", "edema", *maps],
        "embed": ["embed", studies, *read, "--out", str(out / "a.index"), *key],
        "rank": ["rank", study, *read, "--reports", reports],
        "rank-index": ["rank", study, *read, "--index", index],
        "write-index": ["rank", study, *read, "--reports", reports, f"--write-index={out / 'b'}", *key],
        "calibrate": ["calibrate", truth, "--engine", str(out / "own.alta"), "--threads", "1", "--label", "edema"],
        "inspect": ["inspect", str(engine)],
        "doctor": ["doctor", str(engine), "--threads", "1"],
        "export": [f"--checkpoint={data / 'model.safetensors'}", f"--output={out / 'a.alta'}"],
        "pair": [f"--radiographs={data / 'radiographs.csv'}", "--no-priors", f"--output={out / 'a.csv'}"],
    }


def start_command(name: str, arguments: Sequence[object]) -> list[str]:
    """Return the command line of a process that runs a command from its first line on."""
    if name == "pair":
        begin = f"import runpy; runpy.run_path({str(ROOT / 'training' / 'pair.py')!r}, run_name='__main__')"
    else:
        begin = f"alta_start.{'alta_export' if name == 'export' else 'alta'}()"
    code = f"import alta_start, os; os.path.exists('begin-to-fail'); {begin}"  # its name tells fail_calls.c
    return [sys.executable, "-c", code, *map(str, arguments)]


def find_program(name: str) -> Callable[[Sequence[str]], Any]:
    """Return the click program of a command."""
    if name == "pair":
        from conftest import load_program

        return load_program(ROOT / "training" / "pair.py").main
    if name == "export":
        from alta_export.cli import main as alta_export

        return alta_export
    from alta_sdk.cli import main as alta

    return alta


def import_modules(commands: Sequence[str]) -> None:
    """Import what commands import on use, so that forked processes need not."""
    import onnxruntime  # noqa: F401
    import pydicom.pixels  # noqa: F401

    for name in commands:
        find_program(name)
    if "export" in commands:
        import alta_export.pipeline
        import alta_export.show_report  # noqa: F401
    try:
        import openvino  # noqa: F401
    except ImportError:
        pass


def make_data(folder: Path, engine: Path) -> None:
    """Write studies, reports, a table of truth, a site key, an index, a checkpoint and a table of radiographs."""
    import numpy as np
    from fuzz.seeds import chest_header, save
    from PIL import Image

    generator = np.random.default_rng(0)
    for name, date, number in (("study", "20240102", 1), ("earlier", "20230102", 2)):
        (folder / name).mkdir()
        header = chest_header(generator.integers(0, 4095, (260, 260), dtype=np.uint16))
        header.StudyDate, header.StudyInstanceUID, header.SOPInstanceUID = date, f"1.2.3.{number}", f"1.2.4.{number}"
        (folder / name / "1.dcm").write_bytes(save(header))
    (folder / "studies").mkdir()
    shutil.copytree(folder / "study", folder / "studies" / "a")
    (folder / "labelled").mkdir()
    for number in range(LABELLED):
        grey = generator.integers(0, 255, (230, 230), dtype=np.uint8)
        Image.fromarray(grey).save(folder / "labelled" / f"{number}.png")
        if number < STUDIES:
            Image.fromarray(grey).save(folder / "studies" / f"{number}.png")
    (folder / "reports.txt").write_text("There is edema.\nThe lungs are clear.\n", encoding="utf-8")
    (folder / "key").write_text("ab" * 32 + "\n", encoding="ascii")
    (folder / "key").chmod(0o600)
    rows = [f"labelled/{number}.png,{number},PA,Edema,train" for number in range(STUDIES)]
    (folder / "radiographs.csv").write_text(
        "\n".join(["image,patient,view,findings,split", *rows]) + "\n", encoding="utf-8"
    )
    write_truth(folder, engine)
    arguments = list_commands(engine, folder, folder)["embed"]
    arguments[arguments.index("--out") + 1] = str(folder / "index")
    run("embed", arguments)


def write_truth(folder: Path, engine: Path) -> None:
    """Write the table of truth: one that the scores tell, so that a threshold is found."""
    labelled = sorted((folder / "labelled").iterdir())
    found = run("score", ["score", *labelled, "--engine", engine, "--labels", "edema,", "--json"])
    scores = [one["scores"]["edema"] for one in json.loads(found)["studies"]]
    middle = sorted(scores)[LABELLED // 2]
    rows = [f"labelled/{path.name},{int(score >= middle)}" for path, score in zip(labelled, scores, strict=True)]
    (folder / "truth.csv").write_text("\n".join(["study,edema", *rows]) + "\n", encoding="utf-8")


def write_checkpoint(folder: Path) -> None:
    """Write a small checkpoint and its text model, for the export."""
    from conftest import make_sizes

    from alta_training.data.synthetic import make_random_model, write_text_model
    from alta_training.families.checkpoint import save_checkpoint

    model = make_random_model(make_sizes(), seed=3)
    write_text_model(folder / "text-model", model.sizes.text.config)
    save_checkpoint(model, folder / "model.safetensors", {"notice": "RANDOM TEST MODEL"})


def run(name: str, arguments: Sequence[object]) -> str:
    """Run a command to its end and return what it printed."""
    return subprocess.run(start_command(name, arguments), check=True, capture_output=True, text=True).stdout
