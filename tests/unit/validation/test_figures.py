"""What is measured of a label: points, subgroups, worst cases, Platt fits, and what is refused."""

import json

import numpy as np
import pytest

from alta_sdk import CalibrationError
from alta_sdk.report.validation_page import render_validation
from alta_sdk.report.validation_table import render_validation_table
from alta_sdk.statistics.intervals import measure_proportion
from alta_sdk.study.naming import Failure, StudyName
from alta_sdk.validation.figures import (
    LabelStudies,
    Wishes,
    check_classes,
    check_platt,
    find_worst,
    measure_label,
    measure_point,
)
from alta_sdk.validation.result import Validation
from alta_sdk.validation.scored import UnreadStudy
from alta_sdk.validation.subgroups import name_groups

COUNT = 120


@pytest.fixture
def studies():
    rng = np.random.default_rng(5)
    truth = np.arange(COUNT) % 3 == 0
    scores = 1 / (1 + np.exp(-rng.normal(size=COUNT) - 1.5 * truth))
    views = ["AP" if number < 100 else "PA" for number in range(COUNT)]
    names = [StudyName(number + 1, f"key{number}") for number in range(COUNT)]
    others = np.clip(scores + rng.normal(0, 0.2, COUNT), 0, 1)
    return LabelStudies(scores, truth, np.arange(COUNT) // 2, {"view": views}, names, others)


def measure(studies, threshold=0.5, is_pair=True, **wishes):
    return measure_label("edema", "ab" * 32, studies, threshold, is_pair, Wishes(**wishes))


def test_a_threshold_is_measured_as_it_is(studies):
    point = measure_point(studies.scores, studies.truth, 0.5)
    said = studies.scores >= 0.5
    assert point.true_positives + point.false_positives == said.sum()
    assert point.sensitivity == measure_proportion(int((said & studies.truth).sum()), int(studies.truth.sum()))
    assert point.specificity.value == (~said)[~studies.truth].mean()
    assert point.precision.value == studies.truth[said].mean()
    none_above = measure_point(studies.scores, studies.truth, 2.0)
    assert none_above.precision is None and none_above.sensitivity.value == 0
    equal = measure_point(np.array([0.5, 0.4]), np.array([True, False]), 0.5)
    assert equal.true_positives == 1, "a score equal to the threshold is above it"


def make_validation(figures):
    return Validation([figures], COUNT, None, [], 0, "cd" * 32, {"engine": "chest\x1b[2J", "engine_sha256": "ef" * 32})


def test_an_auc_without_variance_tells_no_number_of_studies(studies):
    perfect = measure(LabelStudies(studies.truth.astype(float), studies.truth, None, {}, studies.names))
    assert perfect.auc.value == 1 and perfect.sizes.auc is None
    assert "do not tell how many for the AUC" in render_validation(make_validation(perfect))
    assert f"About {measure(studies).sizes.auc} of this mix" in render_validation(make_validation(measure(studies)))


def test_no_cell_of_the_table_is_obeyed_by_a_screen(studies):
    table = render_validation_table(make_validation(measure(studies)))
    assert "\x1b" not in table and "chest\\x1b[2J" in table


def test_small_groups_are_counted_and_have_no_auc(studies):
    found = {one.value: one for one in measure(studies).subgroups}
    assert found["AP"].auc.low < found["AP"].auc.value < found["AP"].auc.high
    assert (found["PA"].studies, found["PA"].auc) == (20, None)
    assert found["PA"].patients == 10 and found["PA"].positives + found["PA"].negatives == 20


def test_worst_cases_are_low_positives_then_high_negatives(studies):
    worst = find_worst(studies, 2)
    assert [case.truth for case in worst] == [True, True, False, False]
    assert worst[0].score == studies.scores[studies.truth].min()
    assert worst[2].score == studies.scores[~studies.truth].max()
    assert all(studies.names[case.name.number - 1] == case.name for case in worst)


def test_a_platt_fit_keeps_patients_apart_and_mends_what_is_overconfident(studies):
    rng = np.random.default_rng(1)
    probability = rng.uniform(size=2000)
    truth = rng.uniform(size=2000) < probability
    odds = 3 * np.log(probability / (1 - probability)) + 1
    found = check_platt(1 / (1 + np.exp(-odds)), truth, np.arange(2000) // 2)
    assert found.fit.slope == pytest.approx(1 / 3, abs=0.05) and found.fit.shift == pytest.approx(-1 / 3, abs=0.15)
    assert found.after.error < found.before.error / 2 and found.after.p_value > 0.01
    assert found.fitted_on + found.measured_on == 2000 and found.fitted_on % 2 == 0
    assert check_platt(studies.scores[:30], studies.truth[:30], None) is None, "too few"


def test_scores_of_competing_labels_are_no_probabilities(studies):
    figures = measure(studies, is_pair=False, platt=True)
    assert figures.calibration is None and figures.platt is None and not figures.are_probabilities


def test_the_comparison_of_an_engine_with_itself_is_nothing(studies):
    same = LabelStudies(studies.scores, studies.truth, None, {}, studies.names, studies.scores)
    found = measure(same).comparison
    assert (found.difference.value, found.difference.low, found.difference.high) == (0, 0, 0)
    assert found.delong.p_value == 1
    other = measure(studies).comparison
    assert other.difference.value == pytest.approx(other.delong.difference.value, abs=1e-12)
    assert other.difference.low < other.difference.value < other.difference.high


def test_json_has_nothing_that_is_not_finite_and_no_empty_path(studies):
    perfect = LabelStudies(studies.truth.astype(float), studies.truth, None, {}, studies.names)
    for one in (studies, perfect):
        unread = [UnreadStudy(StudyName(7, "k"), Failure("DicomError", "no"))]
        told = Validation([measure(one)], COUNT, 60, unread, 0, "00", {"engine": "x"}).as_dict()
        text = json.dumps(told, allow_nan=False)
        assert told["labels"][0]["roc"]["thresholds"][0] is None
        assert '"path"' not in text and told["schema_version"] == 1


def test_one_class_is_refused_with_the_way_out():
    with pytest.raises(CalibrationError, match="label 2: 1 positive and 3 negative studies.*label more"):
        check_classes(2, np.array([True, False, False, False]))


def test_ages_become_bands_and_what_is_no_age_is_refused():
    cells = ["7", "17", "018Y", "63.5", " 80 ", "11M", "400D", ""]
    bands = ["0 to 17", "0 to 17", "18 to 39", "60 to 79", "80 and more", "0 to 17", "0 to 17", "not given"]
    assert name_groups("age", cells) == bands
    with pytest.raises(CalibrationError, match="row 2 .* no age in years"):
        name_groups("age", ["5", "DOE"])


def test_a_column_of_names_is_no_grouping_and_is_not_quoted():
    with pytest.raises(CalibrationError) as refused:
        name_groups("device", [f"DOE^JANE {number}" for number in range(30)])
    assert "DOE" not in str(refused.value) and "30 values" in str(refused.value)
