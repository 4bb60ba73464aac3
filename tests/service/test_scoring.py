"""From a study that waits to a result, a refusal or a failure: who is to blame decides, and nothing is lost."""

import errno

import pytest
from pydicom import dcmread
from pydicom.uid import generate_uid

from alta_sdk import Matcher
from alta_sdk.dicom.filing import read_filing
from alta_sdk.service.choosing import NO_RULE
from alta_sdk.service.job_store import MAX_ATTEMPTS, POISON
from alta_sdk.service.records import StudyState
from alta_sdk.service.scoring import HEAT_MAP, NO_IMAGES, REPORT, Writers
from alta_sdk.service.settings import Destination, DicomPeer, Rule
from alta_sdk.service.structured_report import read_scores, write_report
from service.fixtures import make_radiograph
from service.scoring_side import make_choice, open_scoring

DESTINATION = Destination("pacs", DicomPeer("PACS", "127.0.0.1", 1))


@pytest.fixture
def side(tmp_path, bundle):
    with open_scoring(tmp_path / "state", bundle) as opened:
        yield opened


def read_report(side, key):
    result = side.store.list_results(key)[0]
    report = next(one for one in result.objects if one.kind == REPORT)
    return result, dcmread(side.spool.find(report.file))


def test_scores_are_those_of_the_matcher_and_those_of_the_report(side, bundle, tmp_path):
    key = side.put(make_radiograph())
    assert side.scoring.score_next() == (True, False)
    result, _ = read_report(side, key)
    alone = Matcher(bundle, device="cpu").zero_shot(tmp_path / "sent" / "0.dcm", ["pneumonia", "edema"])
    assert result.content["scores"] == dict(alone.scores)
    read = read_scores(side.spool.find(result.objects[0].file).read_bytes())
    assert read == pytest.approx(dict(alone.scores), abs=1e-6)
    assert result.content["explanation"]["slots"]["frontal"]["source"] == "ViewPosition"
    assert side.study(key).state is StudyState.DONE  # there is nobody to send it to
    assert side.scoring.score_next() == (False, False)


def test_a_result_waits_for_each_destination(tmp_path, bundle):
    with open_scoring(tmp_path / "state", bundle, destinations=(DESTINATION,)) as side:
        key = side.put(make_radiograph())
        side.scoring.score_next()
        assert side.study(key).state is StudyState.SCORED
        assert [one.destination for one in side.deliveries.list_deliveries()] == ["pacs"]


def test_a_study_that_cannot_be_scored_is_refused_with_what_was_found(side):
    key = side.put(make_radiograph(view="LL"), make_radiograph(view="LL", size=72))
    assert side.study(key).state is StudyState.COMPLETE
    lateral = side.put(make_radiograph(view="LL"))
    foot = side.put(make_radiograph(BodyPartExamined="FOOT"))
    while side.scoring.score_next() != (False, False):
        pass
    assert side.study(lateral).state is StudyState.REFUSED
    assert "no usable frontal" in side.study(lateral).reason
    assert side.study(lateral).explanation["set_aside"][0]["what"] == "lateral"
    assert "FOOT" in side.study(foot).reason and side.study(foot).explanation["slots"] == {}
    assert not side.store.list_results(lateral)


def test_what_is_not_the_studys_fault_is_tried_three_times_behind_the_others(tmp_path, bundle):
    def fail(content, site_key):
        raise RuntimeError("Secretperson^Ida")

    with open_scoring(tmp_path / "state", bundle, writers=Writers(fail)) as side:
        first, second = side.put(make_radiograph()), side.put(make_radiograph(size=72))
        seen = []
        for _ in range(2 * MAX_ATTEMPTS):
            assert side.scoring.score_next() == (True, True)
            seen.append((side.study(first).attempts, side.study(second).attempts))
        assert seen == [(1, 0), (1, 1), (2, 1), (2, 2), (3, 2), (3, 3)]
        for key in (first, second):
            assert side.study(key).state is StudyState.FAILED
            assert side.study(key).reason == "RuntimeError: not foreseen"
        assert side.scoring.score_next() == (False, False)
        assert side.store.retry_study(first)
        assert side.study(first).state is StudyState.COMPLETE and side.study(first).attempts == 0


def test_a_full_disk_counts_against_no_study_and_is_told(side, monkeypatch):
    key = side.put(make_radiograph())

    def refuse(parts):
        raise OSError(errno.ENOSPC, "No space left on device", "/spool/name")

    with monkeypatch.context() as patch:
        patch.setattr(side.spool, "write", refuse)
        assert side.scoring.step() > 1
    assert side.scoring.fault == "results cannot be written: No space left on device; see to the disk"
    assert side.scoring.step() == 0.0
    assert side.study(key).state is StudyState.DONE and side.scoring.fault == ""


def test_a_study_is_not_lost_where_even_its_state_cannot_be_written(side, monkeypatch):
    import sqlite3

    key = side.put(make_radiograph())

    def refuse(*_):
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(side.store, "finish_scoring", refuse)
        patch.setattr(side.store, "release_scoring", refuse)
        side.scoring.step()
        with pytest.raises(sqlite3.OperationalError):  # the loop goes on
            side.scoring.step()
    assert len(side.list_spool()) == 1  # the image: the report that no row names is gone
    assert side.scoring.step() == 0.0
    assert side.study(key).state is StudyState.DONE


def test_a_study_that_ends_the_process_twice_is_set_aside_until_somebody_retries_it(side):
    key = side.put(make_radiograph())
    assert side.store.begin_scoring().key == key
    assert side.store.recover() == 0 and side.study(key).state is StudyState.COMPLETE
    side.store.begin_scoring()
    assert side.store.recover() == 1
    assert side.study(key).state is StudyState.FAILED and side.study(key).reason == POISON
    assert side.scoring.score_next() == (False, False)
    assert side.store.retry_study(key)
    side.scoring.score_next()
    assert side.study(key).state is StudyState.DONE


def test_a_result_that_a_later_arrival_overtakes_is_dropped_and_leaves_no_file(tmp_path, bundle):
    study = generate_uid()

    def write_slowly(content, site_key):
        if content.revision == 1:
            side.put(make_radiograph(study_uid=study, view="LL", size=72), is_complete=False)
        return write_report(content, site_key)

    with open_scoring(tmp_path / "state", bundle, writers=Writers(write_slowly)) as side:
        key = side.put(make_radiograph(study_uid=study))
        side.scoring.score_next()
        assert side.study(key).state is StudyState.RECEIVING and side.study(key).revision == 2
        assert not side.store.list_results(key) and side.list_spool() == side.store.list_files()
        side.store.complete_study(key)
        side.scoring.score_next()
        assert [one.revision for one in side.store.list_results(key)] == [2]
        assert set(side.store.list_results(key)[0].content["explanation"]["slots"]) == {"frontal", "lateral"}


def test_a_late_instance_makes_a_second_revision_that_names_its_predecessor(side):
    study = generate_uid()
    key = side.put(make_radiograph(study_uid=study))
    side.scoring.score_next()
    first = read_report(side, key)[1]
    side.put(make_radiograph(study_uid=study, view="LL", size=72))
    side.scoring.score_next()
    result, second = read_report(side, key)
    assert result.revision == 2 and second.SOPInstanceUID != first.SOPInstanceUID
    named = second.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0]
    assert named.SeriesInstanceUID == first.SeriesInstanceUID
    assert named.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == first.SOPInstanceUID


def test_a_study_whose_images_are_kept_no_longer_says_so(side):
    key = side.put(make_radiograph())
    side.spool.remove(side.store.forget_images(key))
    side.scoring.score_next()
    assert side.study(key).state is StudyState.REFUSED and side.study(key).reason == NO_IMAGES


def test_a_study_whose_images_no_report_can_be_filed_with_is_refused(side):
    key = side.put(make_radiograph(PatientID="A\x07B"))
    side.scoring.score_next()
    assert side.study(key).state is StudyState.REFUSED and "PatientID" in side.study(key).reason
    assert "A\x07B" not in side.study(key).reason


@pytest.mark.parametrize(
    ("rules", "sender", "elements", "engine"),
    [
        ((Rule("second", calling_ae_title="ICU"), Rule("chest")), "ICU", {}, "second"),
        ((Rule("second", calling_ae_title="ICU"), Rule("chest")), "SENDER", {}, "chest"),
        ((Rule("second", modality="DX"), Rule("chest", modality="CR")), "SENDER", {}, "chest"),
        ((Rule("second", description="*Thorax*"), Rule("chest")), "X", {"StudyDescription": "CR THORAX pa"}, "second"),
        ((Rule("second", description="*thorax*"), Rule("chest")), "X", {"SeriesDescription": "Abdomen"}, "chest"),
        ((Rule("second", calling_ae_title="ICU", modality="DX"), Rule("chest")), "ICU", {}, "chest"),
    ],
)
def test_the_first_rule_that_fits_says_which_engine_scores(tmp_path, bundle, rules, sender, elements, engine):
    from dataclasses import replace

    choices = (make_choice(bundle), replace(make_choice(bundle, labels=("cough", "edema")), name="second"))
    with open_scoring(tmp_path / "state", bundle, choices=choices, rules=rules) as side:
        key = side.put(make_radiograph(**elements), sender=sender)
        side.scoring.score_next()
        result = side.store.list_results(key)[0]
        assert result.engine == engine
        assert ("cough" in result.content["scores"]) is (engine == "second")


def test_a_study_that_no_rule_takes_is_refused(tmp_path, bundle):
    with open_scoring(tmp_path / "state", bundle, rules=(Rule("chest", modality="DX"),)) as side:
        key = side.put(make_radiograph())
        side.scoring.score_next()
        assert side.study(key).state is StudyState.REFUSED and side.study(key).reason == NO_RULE


def test_a_heat_map_of_the_first_label_goes_with_the_report_where_it_is_wanted(tmp_path, bundle):
    with open_scoring(tmp_path / "state", bundle, choices=(make_choice(bundle, heat_map=True),)) as side:
        key = side.put(make_radiograph())
        side.scoring.score_next()
        kinds = {one.kind: one for one in side.store.list_results(key)[0].objects}
        assert set(kinds) == {REPORT, HEAT_MAP}
        capture = dcmread(side.spool.find(kinds[HEAT_MAP].file))
        assert capture.Modality == "OT" and capture.SOPInstanceUID == kinds[HEAT_MAP].sop_uid


class TestPrior:
    """An earlier study costs nothing but itself."""

    def open(self, tmp_path, bundle, find_prior, mode="present"):
        choice = make_choice(bundle, fusion_mode=mode)
        return open_scoring(tmp_path / "state", bundle, choices=(choice,), find_prior=find_prior)

    def write_prior(self, folder, **elements):
        from service.fixtures import write_image

        return write_image(folder / "prior.dcm", make_radiograph(size=72, StudyDate="20250102", **elements))

    def test_a_prior_that_is_found_is_scored_with_the_study_and_removed(self, tmp_path, bundle):
        asked = []

        def find(headers, folder):
            asked.append((headers, folder))
            return [self.write_prior(folder)], ""

        with self.open(tmp_path, bundle, find) as side:
            key = side.put(make_radiograph())
            side.scoring.score_next()
            result, report = read_report(side, key)
            assert result.content["provenance"]["slots"] == ["frontal", "prior_frontal"]
            assert not asked[0][1].exists() and side.list_spool() == side.store.list_files()
            assert len(report.CurrentRequestedProcedureEvidenceSequence) == 1
            assert asked[0][0] == (read_filing((tmp_path / "sent" / "0.dcm").read_bytes()),)

    def test_a_prior_that_cannot_be_used_is_told_and_costs_the_prior_alone(self, tmp_path, bundle):
        with self.open(
            tmp_path, bundle, lambda headers, folder: ([self.write_prior(folder, PatientID="OTHER")], "")
        ) as side:
            key = side.put(make_radiograph())
            side.scoring.score_next()
            content = side.store.list_results(key)[0].content
            assert content["provenance"]["slots"] == ["frontal"]
            assert any("prior was found and is not used" in one for one in content["notices"])
            assert "OTHER" not in str(content)

    def test_a_source_that_does_not_answer_is_told_and_costs_the_prior_alone(self, tmp_path, bundle):
        with self.open(tmp_path, bundle, lambda headers, folder: ((), "no prior: no answer in 10 s")) as side:
            key = side.put(make_radiograph())
            side.scoring.score_next()
            assert "no prior: no answer in 10 s" in side.store.list_results(key)[0].content["notices"]

    def test_no_prior_is_asked_for_where_the_engine_looks_at_none(self, tmp_path, bundle):
        def find(headers, folder):
            raise AssertionError("asked")

        with self.open(tmp_path, bundle, find, mode="frontal") as side:
            key = side.put(make_radiograph())
            side.scoring.score_next()
            assert side.study(key).state is StudyState.DONE
