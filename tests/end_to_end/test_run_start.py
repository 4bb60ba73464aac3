"""What fit says at its start, a dry run, the end of patience, states of before a setting was there."""

import torch

from alta_training.run.loop import Trainer

AUCS = [0.5, 0.504, 0.508, 0.512, 0.6]


def test_without_a_validation_fit_says_that_there_will_be_no_best_model(labelled, fit_labelled, tmp_path):
    result = fit_labelled(tmp_path / "run")
    assert result.exit_code == 0, result.output
    first = result.stderr.splitlines()[0]
    assert first == "no --validation: there will be no best model, and publish takes the last weights"
    assert "--training-data, --licence, --notice; give them here, or to publish" in result.stderr.splitlines()[1]
    assert "radiographs read" in result.stderr and "done: mean " in result.stderr
    assert not (tmp_path / "run" / "best.safetensors").exists()


def test_a_dry_run_reads_makes_the_model_times_a_step_and_writes_nothing(labelled, fit_labelled, tmp_path, monkeypatch):
    monkeypatch.setattr(Trainer, "_update", None)  # no weight may change
    result = fit_labelled(tmp_path / "run", "--dry-run", "--logger", "csv")
    assert result.exit_code == 0, result.output
    last = result.stderr.splitlines()[-1]
    assert last.startswith("dry run: a step takes about") and "label " in last and "nothing was written" in last
    assert not (tmp_path / "run").exists()


def test_a_gain_under_min_gain_does_not_count_for_patience_but_is_kept(labelled, fit_labelled, tmp_path, monkeypatch):
    from alta_training.work import fit

    aucs = iter(AUCS)
    validate = lambda *_, **__: {"auc": (auc := next(aucs)), "auc_low": auc, "auc_high": auc}  # noqa: E731
    monkeypatch.setattr(fit, "validate_model", validate)
    labels = ("--validation", labelled / "labels.csv", "--validation-split", "train")
    still = {"epochs": 5, "schedule_epochs": 5, "patience": 2, "min_gain": 0.01}
    result = fit_labelled(tmp_path / "run", *labels, **still)
    assert result.exit_code == 0, result.output
    # The fourth is above the first by more than 0.01, but the second and third were not: two in a row end it.
    assert "ended early in epoch 3 of 5: 2 validations without a better AUC than 0.500" in result.stderr
    state = torch.load(tmp_path / "run" / "state.pt", weights_only=True)
    assert (state["best"], state["mark"], state["stale"]) == (0.508, 0.5, 2)


def test_a_state_of_before_a_setting_existed_is_resumed(labelled, fit_labelled, tmp_path):
    assert fit_labelled(tmp_path / "run", "--stop-after", 1).exit_code == 0
    state = torch.load(tmp_path / "run" / "state.pt", weights_only=True)
    del state["recipe"]["min_gain"], state["mark"]
    torch.save(state, tmp_path / "run" / "state.pt")
    resumed = fit_labelled(tmp_path / "run", "--resume")
    assert resumed.exit_code == 0, resumed.output
    other = fit_labelled(tmp_path / "run", "--resume", min_gain=0.1)
    assert other.exit_code == 1 and "min_gain differ" in other.stderr
