"""What a run tells where there is no terminal, and where its figures go."""

import json
import sys
import types

import pytest
from lightning_fabric import Fabric
from lightning_fabric.loggers import CSVLogger, TensorBoardLogger

from alta_sdk import RuntimeUnavailable
from alta_training.cli.packages import need_packages
from alta_training.run.loggers import open_loggers
from alta_training.run.progress import ProgressReport
from alta_training.run.trial import Trial

LOSSES = {"global": 3.25, "local": 2.5}
VALIDATED = {"auc": 0.7134, "auc_low": 0.65, "auc_high": 0.771, "to_report_p1": 0.25}


class Clock:
    """Seconds that a test sets."""

    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def report(tmp_path):
    """A report of 2 epochs of 6 steps, its clock and its folder; figures go to CSV, too."""
    clock = Clock()
    fabric = Fabric(accelerator="cpu", devices=1, loggers=open_loggers(["csv"], tmp_path, {}))
    with ProgressReport(tmp_path, 2, 12, 0, fabric, clock) as report:
        yield report, clock, tmp_path


def test_without_a_terminal_a_line_comes_at_once_each_minute_and_each_epoch_in_full_width(report, capsys):
    told, clock, _ = report
    for step in range(1, 7):  # 25 s a step: due with the first, and at 100 s
        clock.now += 25
        told.show_step(step, 0, LOSSES, 1e-4, 32)
    told.show_epoch(6, 0)
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "epoch 1/2, step 1 of 12",
        "epoch 1/2, step 4 of 12",
        "epoch 1/2 done",
    ]
    assert lines[1].endswith("global 3.250 local 2.500 lr 1.0e-04 1/s, 0:01:40 gone, about 0:03:20 to go")
    assert "mean global 3.250 local 2.500" in lines[2] and all(len(line) > 80 for line in lines[:2])


def test_within_a_long_step_its_parts_are_told_each_minute(report, capsys):
    told, clock, _ = report
    told.show_step(1, 0, LOSSES, 1e-4, 32)
    for part in range(1, 9):
        clock.now += 20
        told.show_part(1, part, 8)
    lines = capsys.readouterr().err.splitlines()[1:]
    assert lines == ["step 2 of 12: part 3 of 8", "step 2 of 12: part 6 of 8"]


def test_a_validation_is_told_with_its_interval_and_kept(report, capsys):
    told, _, folder = report
    told.show_step(6, 0, LOSSES, 1e-4, 32)
    told.show_validation(6, 0, VALIDATED)
    assert "epoch 1: AUC 0.713 (0.650 to 0.771, 95 %) to_report_p1 0.250" in capsys.readouterr().err
    assert json.loads((folder / "metrics.jsonl").read_text().splitlines()[1])["auc_high"] == 0.771
    told.__exit__(None)
    table = (folder / "csv" / "version_0" / "metrics.csv").read_text().splitlines()
    assert {"step", "train/global", "validation/auc_low"} <= set(table[0].split(",")) and len(table) == 3


def test_other_processes_tell_and_keep_nothing(tmp_path, capsys):
    fabric = types.SimpleNamespace(is_global_zero=False, loggers=[])
    with ProgressReport(tmp_path, 2, 12, 0, fabric) as report:
        report.show_part(0, 1, 2)
        report.show_step(1, 0, LOSSES, 1e-4, 32)
        report.show_epoch(1, 0)
        report.show_validation(1, 0, VALIDATED)
    assert capsys.readouterr().err == "" and not list(tmp_path.iterdir())


def test_loggers_are_fabrics_own_and_make_no_file_before_the_first_figure(tmp_path):
    loggers = open_loggers(["tensorboard", "csv", "csv"], tmp_path, {"batch": 4})
    assert [type(logger) for logger in loggers] == [TensorBoardLogger, CSVLogger]
    assert not list(tmp_path.iterdir())


def make_module(monkeypatch, name, **content):
    module = types.ModuleType(name)
    vars(module).update(content)
    monkeypatch.setitem(sys.modules, name, module)


class FakeLogger:
    """Notes what it was made with and given."""

    def __init__(self, **given):
        self.given, self.settings = given, None

    def log_hyperparams(self, settings):
        self.settings = settings


def test_wandb_stays_offline_and_mlflow_in_the_run_unless_their_variables_say_otherwise(tmp_path, monkeypatch):
    make_module(monkeypatch, "wandb")
    make_module(monkeypatch, "mlflow")
    make_module(monkeypatch, "pytorch_lightning")
    make_module(monkeypatch, "pytorch_lightning.loggers", MLFlowLogger=FakeLogger, WandbLogger=FakeLogger)
    for name in ("WANDB_MODE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    first, second = open_loggers(["wandb", "mlflow"], tmp_path, {"batch": 4})
    assert first.given["offline"] is True and first.given["save_dir"] == str(tmp_path)
    assert second.given["tracking_uri"] == f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert first.settings == second.settings == {"batch": 4}
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    first, second = open_loggers(["wandb", "mlflow"], tmp_path, {})
    assert first.given["offline"] is False and second.given["tracking_uri"] == "http://127.0.0.1:5000"


@pytest.mark.parametrize(
    ("name", "packages"), [("wandb", "wandb pytorch-lightning"), ("mlflow", "mlflow pytorch-lightning")]
)
def test_a_logger_whose_package_is_absent_names_it(name, packages, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(RuntimeUnavailable, match=f"--logger {name} needs more: pip install {name} pytorch-lightning"):
        open_loggers([name], tmp_path, {})
    monkeypatch.setattr("alta_training.cli.packages.find_spec", lambda own: None if own == name else own)
    with pytest.raises(RuntimeUnavailable, match=f"--logger {name} needs {name}: pip install {name}"):
        need_packages([name])


def test_a_trial_is_told_in_one_line():
    shown = str(Trial(LOSSES, 1.5, 2_000_000_000, 100, 3))
    assert shown.startswith(
        "dry run: a step takes about 1.5 s (global 3.250 local 2.500), an epoch 100 steps, 3 epochs"
    )
    assert shown.endswith("about 0:07:30, 2.0 GB of memory at the peak; nothing was written")
    assert "memory" not in str(Trial(LOSSES, 1.5, 0, 100, 3))
