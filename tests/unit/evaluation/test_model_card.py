"""The rendered card: what a reader finds in it, and what is left out where there is nothing to tell."""

from alta_sdk.statistics.calibration import Bin, Calibration
from alta_training.evaluation.card_figures import SplitFigures
from alta_training.evaluation.card_sections import show_calibration, show_curve, show_findings, show_zero_shot
from alta_training.evaluation.zero_shot import FindingFigures

FIGURES = {"radiographs": 20, "positive": 10, "patients": 15, "auc": 0.8, "auc_low": 0.7, "auc_high": 0.9}
AP = {"auc_AP": 0.75, "auc_AP_low": 0.6, "auc_AP_high": 0.85}
CALIBRATION = Calibration(0.12, 0.08, (Bin(0.25, 0.1, 10), Bin(0.75, 0.9, 10)))


def make_split(name, findings=(), left_out=None, **more):
    model = {**FIGURES, **AP, "auc_view_alone": 0.65, **more}
    return SplitFigures(name, model, {**FIGURES, **AP}, FIGURES, CALIBRATION, findings, left_out or {})


def test_the_main_table_sets_the_model_beside_both_baselines():
    section = show_zero_shot("edema", "nih", "TAUGHT.", [make_split("val")])
    assert section.startswith("## Zero-shot AUC: “There is edema” / “There is no edema”\n\nTAUGHT.\n")
    same = "0.800 (0.700 to 0.900)"
    assert f"| val | 20 (10) | 15 | all | {same} | {same} | {same} |" in section
    assert "| within AP | 0.750 (0.600 to 0.850) | 0.750 (0.600 to 0.850) | – |" in section
    assert "| view alone | 0.650 |" in section and "The view alone separates" in section


def test_a_table_without_views_says_nothing_of_views():
    figures = SplitFigures("val", FIGURES, FIGURES, FIGURES, CALIBRATION, (), {})
    section = show_zero_shot("edema", "nih", "TAUGHT.", [figures])
    assert "view" not in section and section.count("\n| val |") == 1


def test_the_other_findings_have_their_counts_and_those_left_out_theirs():
    mass = FindingFigures("Mass", {**FIGURES, **AP}, {"PA": 6, "AP": 4}, 9)
    section = show_findings("Edema", [make_split("val", [mass]), make_split("test", [], {"Hernia": 3, "Nodule": 1})])
    assert (
        "| finding | split | positive | of these with Edema | all | within AP |\n|---|---|---|---|---|---|\n" in section
    )
    assert "| Mass | val | 10 (4 AP, 6 PA) | 9 | 0.800 (0.700 to 0.900) | 0.750 (0.600 to 0.850) |" in section
    assert section.endswith("Left out, with fewer than 10 positives in the split: test: Hernia (3), Nodule (1).")
    assert show_findings("Edema", [make_split("val"), make_split("test")]) == ""


def test_the_bins_and_both_errors_are_told():
    section = show_calibration("edema", [make_split("val"), make_split("test")])
    assert "no probability of edema unless the table below says so" in section
    assert "0.120 on val (0.080 by chance alone) and 0.120 on test (0.080 by chance alone)" in section
    assert "the test split, where 50 % are positive" in section
    assert section.endswith("| 0.250 | 0.100 | 10 |\n| 0.750 | 0.900 | 10 |")


def test_no_validation_has_no_curve():
    assert show_curve([]) == ""
