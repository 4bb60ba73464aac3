"""What other programs rely on: names, commands, a thin import, no network or telemetry, torchvision beside torch."""

import os
import runpy
import shutil
import subprocess
import sys

from conftest import ROOT

import alta_runtimes
import alta_sdk
from alta_sdk import errors
from alta_training.model.torchvision_ops import ensure_torchvision_imports

PUBLIC = """
AltaError CalibrationError CheckpointError Comparison Decision DicomError Engine EngineError ExportError
FewShotClassifier Heatmap IndexOrigin IntegrityError Label Match Matcher OperatingPoint Progression PromptError
Radiograph RankedReport Ranking ReportIndex RuntimeUnavailable Slot Study StudyEmbedding StudyError Threshold
TrainingError ViewError ZeroShotResult __version__
""".split()


def run_python(code, **environment):
    env = {name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**env, **environment}, check=False
    )


def test_public_names_are_these():
    assert sorted(alta_sdk.__all__) == PUBLIC


def test_commands_and_options_are_the_kept_ones():
    maker = runpy.run_path(str(ROOT / "tests" / "golden" / "make_commands.py"))
    kept = maker["GOLDEN"].read_text(encoding="utf-8")
    assert maker["render_commands"]().splitlines() == kept.splitlines(), "python tests/golden/make_commands.py"


def test_all_is_what_is_visible():
    for package in (alta_sdk, alta_runtimes):
        visible = {name for name, value in vars(package).items() if not name.startswith("_") and not is_module(value)}
        assert visible | {name for name in package.__all__ if name.startswith("__")} == set(package.__all__)


def is_module(value):
    return type(value).__name__ == "module"


def test_every_error_is_an_alta_error_with_a_docstring():
    for name in errors.__all__:
        error = getattr(errors, name)
        assert issubclass(error, alta_sdk.AltaError)
        assert error.__doc__
        assert name in errors.__doc__


def test_the_sdk_imports_without_torch():
    code = (
        "import alta_sdk, alta_sdk.cli, sys;"
        "print([m for m in ('torch', 'transformers', 'timm', 'onnx', 'torchvision', 'cv2') if m in sys.modules])"
    )
    assert run_python(code).stdout.strip() == "[]"


def test_importing_the_sdk_leaves_out_what_only_some_calls_need():
    code = (
        "import alta_sdk.cli.score, sys;"
        "print([m for m in ('numpy.random', 'pydicom', 'openvino', 'onnxruntime') if m in sys.modules])"
    )
    assert run_python(code).stdout.strip() == "[]"


def test_telemetry_is_off_before_onnxruntime_is_imported():
    code = "import alta_sdk, os, sys; print('onnxruntime' in sys.modules, os.environ['ORT_DISABLE_TELEMETRY'])"
    assert run_python(code).stdout.split() == ["False", "1"]


def test_scoring_opens_no_socket_and_writes_no_file_at_home(bundle, radiograph_path, tmp_path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("index")
    reports, out, studies = folder / "reports.txt", folder / "studies.index", folder / "studies"
    studies.mkdir()
    shutil.copy(radiograph_path, studies)
    reports.write_text("There is edema.\nThe lungs are clear.\n", encoding="utf-8")
    code = f"""
import socket, sys
def refuse(event, arguments):
    if event.startswith("socket."):
        print("SOCKET", event); raise RuntimeError(event)
sys.addaudithook(refuse)
from click.testing import CliRunner
from alta_sdk.cli import main
for arguments in (["score", {str(radiograph_path)!r}, "--engine", {str(bundle)!r}, "--labels", "rsna"],
                  ["rank", {str(radiograph_path)!r}, "--engine", {str(bundle)!r}, "--reports", {str(reports)!r}],
                  ["embed", {str(studies)!r}, "--engine", {str(bundle)!r}, "--out", {str(out)!r}],
                  ["locate", {str(radiograph_path)!r}, "--engine", {str(bundle)!r}, "--phrase", "edema"],
                  ["inspect", {str(bundle)!r}], ["doctor"], ["doctor", {str(bundle)!r}]):
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
from alta_sdk import Matcher
assert Matcher({str(bundle)!r}).engine.provenance["runtime"].startswith("openvino")
Matcher({str(bundle)!r}, runtime="onnxruntime").zero_shot({str(radiograph_path)!r}, "rsna")
print("done")
"""
    # The site key of `alta embed` is the one thing that is kept, among the user's settings.
    settings = tmp_path_factory.mktemp("settings")
    own = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    result = run_python(code, **own, XDG_CONFIG_HOME=str(settings))
    assert result.stdout.split() == ["done"], result.stdout + result.stderr
    assert not list(tmp_path.rglob("*"))
    assert [path.name for path in settings.rglob("*") if path.is_file()] == ["alta-site.key"]


def test_torchvision_operators_are_declared_only_when_missing():
    code = "from alta_training.model import torchvision_ops as t; import timm; print(t.ensure_torchvision_imports())"
    result = run_python(code)
    assert result.stdout.strip() == "False", result.stderr
    assert ensure_torchvision_imports() is False
