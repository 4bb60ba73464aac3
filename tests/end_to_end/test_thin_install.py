"""A fresh environment with nothing but the SDK: no torch, small, and it scores."""

import importlib.util
import json
import subprocess
import sys

import pytest
from conftest import ROOT, export_quietly
from fakes.families import write_published

from alta_export.options import ExportOptions
from alta_training.families.registry import FAMILIES

RADIOGRAPH = ROOT / "examples" / "data" / "00001299_000.jpg"
LIMIT_BYTES = 300_000_000
# Time differs from run to run; what is loaded does not (benchmarks/import_time.py prints both).
IMPORT_LIMIT = 420  # modules, of which numpy brings 120
IMPORTED = {"alta_sdk", "alta_runtimes", "numpy", "PIL"}
IMPORTED |= {"openvino_telemetry"}  # ours: an empty one, so that OpenVINO's own is never imported
LOADED = """
import json, sys
before = set(sys.modules)
import alta_sdk
print(json.dumps(sorted(set(sys.modules) - before)))
"""
PERMISSIVE = ("MIT", "BSD", "Apache", "PSF", "ISC", "Zlib", "CC0", "Python Software Foundation")
# tokenizers requires huggingface_hub, which requires tqdm: MIT, some of its files MPL-2.0. See README.
KNOWN = {"tqdm": "MPL-2.0 AND MIT"}
UNTOLD = {"protobuf"}  # BSD-3-Clause, which it says in words of its own
LICENCES = """
import json
from importlib.metadata import distributions
print(json.dumps({d.metadata["Name"]: " ".join([d.metadata.get("License-Expression") or "",
    (d.metadata.get("License") or "")[:80], *(d.metadata.get_all("Classifier") or [])]) for d in distributions()}))
"""


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("thin")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    pip = [python, "-I", "-m", "pip", "--quiet", "--disable-pip-version-check"]
    locked = ["--require-hashes", "--only-binary=:all:", "-r", ROOT / "locks" / "thin.txt"]
    subprocess.run([*pip, "install", *locked], check=True, capture_output=True)
    ours = ["--no-index", "--no-deps", "--find-links", wheel.parent, "alta-sdk"]
    subprocess.run([*pip, "install", *ours], check=True, capture_output=True)
    return python


@pytest.fixture
def demo_engine(python, demo_wheel):
    """The demo package in the fresh environment for one test: the others measure what is there without it."""
    pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--no-index", "--no-deps", demo_wheel], check=True, capture_output=True)
    yield
    subprocess.run([*pip, "uninstall", "--yes", "alta-sdk-demo"], check=True, capture_output=True)


def run_alta(python, *arguments):
    command = [python.with_name("alta"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_lock_has_all_that_it_needs(python):
    done = subprocess.run([python, "-m", "pip", "check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_its_bill_of_materials_names_every_package(python, tmp_path):
    """As `make sbom` has it made: the same bytes each time, and no path of the machine that made it."""
    if importlib.util.find_spec("cyclonedx_py") is None:
        pytest.skip("cyclonedx-bom absent: make")
    command = [sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible", "--sv", "1.6"]
    for name in ("once.json", "again.json"):
        subprocess.run([*command, "--of", "JSON", "-o", tmp_path / name, python], check=True, capture_output=True)
    text = (tmp_path / "once.json").read_text(encoding="utf-8")
    assert text == (tmp_path / "again.json").read_text(encoding="utf-8")
    assert str(python.parents[2]) not in text
    told = json.loads(text)
    installed = json.loads(subprocess.run([python, "-c", LICENCES], check=True, capture_output=True, text=True).stdout)
    assert {one["name"] for one in told["components"]} == set(installed)
    assert {one["name"] for one in told["components"] if not one.get("licenses")} == UNTOLD


def test_it_is_small(python):
    site = next((python.parent.parent / "lib").glob("python3*/site-packages"))
    not_counted = ("pip", "setuptools", "pkg_resources", "_distutils_hack")
    size = sum(
        file.stat().st_size
        for file in site.rglob("*")
        if file.is_file() and not file.relative_to(site).parts[0].startswith(not_counted)
    )
    print(f"thin install: {size / 1e6:.0f} MB")
    assert 100_000_000 < size < LIMIT_BYTES


def test_training_checks_tables_here_and_names_its_extra(python, tmp_path):
    (tmp_path / "labels.csv").write_text(f"image,findings,patient\n{RADIOGRAPH},Edema,1\n{RADIOGRAPH},No Finding,2\n")
    program = python.with_name("alta-train")
    checked = subprocess.run([program, "check", tmp_path / "labels.csv"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0 and "2, of which 2 can be used" in checked.stdout, checked.stderr
    asked = [program, "evaluate", tmp_path, "--protocol", "rsna", "--data", tmp_path]
    refused = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert refused.returncode == 1 and "pip install 'alta-sdk[train]'" in refused.stderr


def test_every_dependency_is_under_a_permissive_licence(python):
    listed = subprocess.run([python, "-c", LICENCES], check=True, capture_output=True, text=True).stdout
    licences = json.loads(listed)
    assert "torch" not in licences
    for name, licence in licences.items():
        if name in KNOWN:
            assert KNOWN[name] in licence
        else:
            assert any(word in licence for word in PERMISSIVE), f"{name}: {licence}"
            assert not any(word in licence for word in ("GPL", "MPL")), f"{name}: {licence}"


def test_importing_loads_little(python):
    """No runtime, no DICOM reader, no tokenizer: what only some commands need is imported by them."""
    done = subprocess.run([python, "-I", "-c", LOADED], check=True, capture_output=True, text=True)
    modules = json.loads(done.stdout)
    foreign = {name.split(".")[0] for name in modules} - set(sys.stdlib_module_names)
    assert {name for name in foreign if not name.startswith("_")} == IMPORTED
    assert len(modules) < IMPORT_LIMIT


def test_it_scores_and_says_what_export_needs(python, bundle, radiograph_path, tmp_path):
    alta, export = (python.with_name(name) for name in ("alta", "alta-export"))
    arguments = [str(radiograph_path), "--engine", bundle, "--labels", "rsna", "--json"]
    arguments += ["--html", tmp_path / "run.html", "--locate", "edema"]
    scored = subprocess.run([alta, "score", *arguments], capture_output=True, text=True, check=True)
    assert 0 <= json.loads(scored.stdout)["scores"]["pneumonia"] <= 1
    assert "<figure>" in (tmp_path / "run.html").read_text(encoding="utf-8")
    arguments = ["--checkpoint", "a.pth", "--text-model", "b", "--output", "c.alta"]
    refused = subprocess.run([export, *arguments], capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "pip install 'alta-sdk[export]'" in refused.stderr


@pytest.fixture(scope="module", params=[family.name for family in FAMILIES if family.name != "alta"])
def family_engine(request, tmp_path_factory):
    """A family, and an engine of it, made of narrow files in its published format."""
    given = write_published(request.param, tmp_path_factory.mktemp("published"))
    path = tmp_path_factory.mktemp("engine") / "x.alta"
    export_quietly(ExportOptions(**given, output=path))
    return next(family for family in FAMILIES if family.name == request.param), path


def test_it_scores_with_an_engine_of_each_family(python, family_engine, tmp_path):
    family, engine = family_engine
    radiograph = next((ROOT / "examples" / "data").glob("*.jpg"))
    scored = run_alta(python, "score", radiograph, "--engine", engine, "--labels", "edema,", "--json")
    assert scored.returncode == 0, scored.stderr
    told = json.loads(scored.stdout)
    assert 0 < told["scores"]["edema"] < 1 and told["provenance"]["family"] == family.name
    tested = run_alta(python, "doctor", engine, "--json")
    assert tested.returncode == 0 and json.loads(tested.stdout)["passed"] is True
    shown = run_alta(python, "inspect", engine, "--verify")
    assert shown.returncode == 0, shown.stderr
    for fact in (family.name, family.licence, family.intended_use):
        assert fact in shown.stdout
    if family.name == "biovil-t":
        compared = run_alta(
            python, "progress", radiograph, radiograph, "--engine", engine, "--label", "edema", "--json"
        )
        assert sum(json.loads(compared.stdout)[name] for name in ("improving", "stable", "worsening")) == pytest.approx(
            1
        )


def test_without_the_demo_package_it_says_what_to_install(python):
    done = run_alta(python, "demo")
    assert (done.returncode, done.stdout) == (1, "")
    assert "pip install 'alta-sdk[demo]'" in done.stderr and len(done.stderr.splitlines()) == 1


def test_the_demo_package_scores_as_alta_score_does(python, demo_engine):
    engine = run_alta(python, "demo", "--path").stdout.strip()
    told = json.loads(run_alta(python, "demo", "--json").stdout)
    assert told["engine"] == engine
    paths = [f"{engine}/../radiographs/{study['file']}" for study in told["studies"]]
    options = ["--engine", engine, "--labels", "pneumonia, pleural effusion, cardiomegaly", "--json"]
    scored = json.loads(run_alta(python, "score", *paths, *options).stdout)["studies"]
    extra = ("file", "view", "finding")
    for study in (*told["studies"], *scored):
        del study["provenance"]["scored_at"]
    assert all(study.pop("key") for study in scored), "of the demo's own radiographs, which are nobody's, none is told"
    assert [{key: study[key] for key in study if key not in extra} for study in told["studies"]] == scored
    shown = run_alta(python, "demo")
    assert shown.returncode == 0 and "Not for clinical use." in shown.stderr
    assert all(f"{study['scores']['pneumonia']:.3f}" in shown.stdout for study in told["studies"])
    tested = json.loads(run_alta(python, "doctor", engine, "--json").stdout)
    assert tested["passed"] is True
