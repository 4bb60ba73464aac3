"""Case two-calibrations-at-once: both are in the file; one of the same label is replaced only when that is said."""

import json
import pickle
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest

from alta_sdk import CalibrationError, Matcher, StudyEmbedding
from alta_sdk.engine.vectors import to_unit_length
from alta_sdk.matching import operating_point, thresholds
from alta_sdk.matching.thresholds import KEPT, load_thresholds

TRUTH = [True] * 30 + [False] * 30


@pytest.fixture
def own(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(operating_point, "RESAMPLES", 5)
    return Matcher(shutil.copytree(bundle, tmp_path / "own.alta"))


def lean(matcher, label):
    text = matcher.embed_text([f"There is {label}", f"There is no {label}"])
    noise = np.random.default_rng(0).standard_normal((60, text.shape[1])) * 0.01
    vectors = to_unit_length(noise + np.repeat(text, 30, axis=0))
    return [StudyEmbedding(vector, matcher.fusion_mode, matcher.engine.manifest.sha256) for vector in vectors]


def read_sidecar(matcher):
    return json.loads(matcher.engine.bundle.folder.with_name("own.thresholds.json").read_text())


KEEP = """
import pickle, sys
from alta_sdk.engine.bundle import open_bundle
from alta_sdk.matching.thresholds import keep_thresholds
bundle, chosen = open_bundle(sys.argv[1]), pickle.loads(bytes.fromhex(sys.argv[2]))
for _ in range(20):
    print("ready", flush=True)
    sys.stdin.readline()
    keep_thresholds([chosen], bundle, overwrite=False)
    print("done", flush=True)
"""


def test_two_processes_that_calibrate_two_labels_are_both_in_the_file(own):
    """Twenty rounds; tests/faults/count_losses.py does it a thousand times."""
    bundle, pipes = own.engine.bundle, {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    chosen = [own.choose_threshold(lean(own, label), TRUTH, label) for label in ("edema", "pneumonia")]
    command = [sys.executable, "-c", KEEP, bundle.folder]
    workers = [subprocess.Popen([*command, pickle.dumps(one).hex()], **pipes) for one in chosen]
    for _ in range(20):
        assert [worker.stdout.readline() for worker in workers] == ["ready\n"] * 2
        bundle.folder.with_name("own.thresholds.json").unlink(missing_ok=True)
        for worker in workers:
            worker.stdin.write("go\n")
            worker.stdin.flush()
        assert [worker.stdout.readline() for worker in workers] == ["done\n"] * 2
        assert {binding.label for binding in load_thresholds(bundle).entries} == {"edema", "pneumonia"}
    assert [worker.communicate()[0] for worker in workers] == [""] * 2
    assert not list(bundle.folder.parent.glob(".*"))


def test_threads_lose_nothing_either(own):
    labels = ["edema", "pneumonia", "effusion", "nodule"]
    chosen = [own.choose_threshold(lean(own, label), TRUTH, label) for label in labels]
    barrier = threading.Barrier(len(labels))

    def keep(threshold):
        barrier.wait()
        own.keep_thresholds([threshold])

    for _ in range(10):
        threads = [threading.Thread(target=keep, args=(one,)) for one in chosen]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {binding.label for binding in load_thresholds(own.engine.bundle).entries} == set(labels)
        own.engine.bundle.folder.with_name("own.thresholds.json").unlink()


def test_a_label_is_calibrated_again_only_when_that_is_said_and_the_earlier_value_stays(own):
    studies = lean(own, "edema")
    first = own.calibrate(studies, TRUTH, "edema")
    before = read_sidecar(own)
    with pytest.raises(CalibrationError, match="--overwrite"):
        own.calibrate(studies, TRUTH, "edema", target="sensitivity", at_least=0.9)
    assert read_sidecar(own) == before and before["schema_version"] == 1 and "history" not in before
    second = own.calibrate(studies, TRUTH, "edema", target="sensitivity", at_least=0.9, overwrite=True)
    found = load_thresholds(own.engine.bundle)
    assert list(found.entries.values()) == [second]
    assert [one.threshold for one in found.history] == [first]
    assert read_sidecar(own)["schema_version"] == 2 and found.history[0].replaced_at.endswith("+00:00")
    assert own.zero_shot(studies[0], ["edema"]).decisions["edema"].threshold == second.point.threshold


def test_another_matcher_that_read_the_file_before_replaces_nothing_unsaid(own):
    late = Matcher(own.engine)
    own.calibrate(lean(own, "edema"), TRUTH, "edema")
    with pytest.raises(CalibrationError, match="--overwrite"):
        late.calibrate(["not read"] * 60, TRUTH, "edema")
    late.calibrate(lean(own, "pneumonia"), TRUTH, "pneumonia")
    assert len(load_thresholds(own.engine.bundle).entries) == 2


def test_a_history_is_bounded_and_a_changed_one_is_refused(own):
    studies = lean(own, "edema")
    for _ in range(KEPT + 3):
        own.calibrate(studies, TRUTH, "edema", overwrite=True)
    own.calibrate(lean(own, "pneumonia"), TRUTH, "pneumonia")
    found = load_thresholds(own.engine.bundle)
    assert len(found.history) == KEPT and len(found.entries) == 2
    path = own.engine.bundle.folder.with_name("own.thresholds.json")
    for old, new in (('"target": "youden"', '"target": "mine"'), ('"replaced_at": "2', '"replaced_at": "1')):
        text = path.read_text()
        path.write_text(text.replace(old, new, 1))
        with pytest.raises(CalibrationError, match="changed"):
            load_thresholds(own.engine.bundle)
        path.write_text(text)


def test_a_file_that_another_program_holds_is_not_waited_for_without_end(own, monkeypatch):
    from alta_sdk.files.locking import hold_lock

    chosen = own.choose_threshold(lean(own, "edema"), TRUTH, "edema")
    monkeypatch.setattr(thresholds, "LOCK_TIMEOUT_S", 0.1)
    with hold_lock(own.engine.bundle.folder.with_name(".own.thresholds.json.lock"), 1):
        with pytest.raises(CalibrationError, match="another program"):
            own.keep_thresholds([chosen])
    own.keep_thresholds([chosen])
