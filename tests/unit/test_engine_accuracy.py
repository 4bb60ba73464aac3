"""benchmarks/engine_accuracy.py: the loss against FP32 on the same patients, and its place in a card."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

from alta_training.data.labelled import LabelledRadiograph


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("engine_accuracy", ROOT / "benchmarks" / "engine_accuracy.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def radiographs():
    return [LabelledRadiograph(Path(f"{n}.png"), str(n // 2), "", n % 2 == 0) for n in range(60)]


@pytest.fixture(scope="module")
def scores(radiographs):
    truth = np.array([radiograph.is_positive for radiograph in radiographs])
    return np.random.default_rng(1).normal(size=60) + truth


def read_cells(section, start):
    (line,) = [line for line in section.splitlines() if line.startswith(start)]
    return [cell.strip() for cell in line.split("|")[1:-1]]


def read_loss(cell):
    value, low, _, high = cell.replace("(", "").replace(")", "").split()
    return float(value), float(low), float(high)


def test_the_section_has_for_each_engine_and_split_an_auc_and_a_loss(benchmark, radiographs, scores):
    truth = np.array([radiograph.is_positive for radiograph in radiographs])
    worse = scores - 0.3 * truth
    rows = [
        benchmark.Measured("fp32", "fast", {"val": scores, "test": scores}),
        benchmark.Measured("fp16", "fast", {"val": 2 * scores, "test": 2 * scores}),
        benchmark.Measured("int8", "fast", {"val": scores, "test": worse}),
        benchmark.Measured("bf16", "fast", {}, "this CPU has no BF16 arithmetic"),
    ]
    section = benchmark.render(rows, {"val": radiographs, "test": radiographs}, "Edema")
    assert section.startswith("## Zero-shot AUC through engines\n")
    assert "| precision | runtime | val AUC | val loss | test AUC | test loss |\n|---|---|---|---|---|---|\n" in section
    reference = read_cells(section, "| fp32")
    assert reference[3] == reference[5] == "reference" and reference[2] == reference[4]
    assert read_cells(section, "| fp16")[2:4] == [reference[2], "0.0000 (0.0000 to 0.0000)"]
    value, low, high = read_loss(read_cells(section, "| int8")[5])
    assert 0 < low < value < high
    auc_low, auc_high = (float(part.strip("()")) for part in reference[4].split()[1::2])
    assert high - low < (auc_high - auc_low) / 2, "paired: narrower than the AUC's own interval"
    assert read_cells(section, "| bf16")[2:] == ["not run", "", "not run", ""]
    assert section.endswith("\nNot run here: bf16 in fast: this CPU has no BF16 arithmetic.\n")


@pytest.mark.parametrize("older", ["", "## Zero-shot AUC through engines\n\nOLD\n\n"])
@pytest.mark.parametrize("rest", ["", "## Validation over the epochs\n\n| 1 |\n\n## Other\n\nMORE\n"])
def test_a_section_takes_the_place_of_an_older_one_and_nothing_else(benchmark, older, rest):
    section = f"{benchmark.HEADING}\n\nNEW\n"
    card = benchmark.insert(f"# demo\n\nTEXT\n\n{older}{rest}", section)
    assert card == f"# demo\n\nTEXT\n\n{section}" + (f"\n{rest}" if rest else "")
