"""A workstation service without its threads: stores filled by hand, and what the page may ask of it."""

import contextlib
import dataclasses
import hashlib
import time

from alta_sdk.service.audit import Audit
from alta_sdk.service.database import Database
from alta_sdk.service.delivery_store import DeliveryStore
from alta_sdk.service.health import Check
from alta_sdk.service.job_store import JobStore
from alta_sdk.service.reception import Outcome
from alta_sdk.service.records import Instance, Result, ResultObject
from alta_sdk.service.settings import Receiving, Settings, Web
from alta_sdk.service.spool import Spool
from alta_sdk.service.web.view import ServiceView

CR = "1.2.840.10008.5.1.4.1.1.1"
SR = "1.2.840.10008.5.1.4.1.1.88.34"
JPEG_2000 = "1.2.840.10008.1.2.4.90"
KEYS = {
    name: hashlib.sha256(name.encode()).hexdigest()[:32]
    for name in ("receiving", "complete", "scoring", "refused", "failed", "delivering", "done", "revised")
}
UID = "1.2.826.0.1.3680043.8.498.4711"
EXPLANATION = {
    "slots": {
        "frontal": {
            "view": "frontal",
            "source": "ViewPosition",
            "confidence": "high",
            "chosen": "the only frontal",
            "contradicted_by": [],
            "turned": "",
        },
        "lateral": {
            "view": "lateral",
            "source": "ViewCodeSequence",
            "confidence": "high",
            "chosen": "the latest of 2",
            "contradicted_by": ["SeriesDescription"],
            "turned": "",
        },
    },
    "set_aside": [{"part": "image", "what": "lateral", "why": "an earlier repeat of it", "count": 1}],
}
NOT_A_CHEST = {
    "slots": {},
    "set_aside": [{"part": "image", "what": "hand", "why": "body part is not the chest", "count": 2}],
}


class FakeReception:
    """Takes what it is given, or answers `status`; keeps it in the store as reception does."""

    def __init__(self, store, spool):
        self.store = store
        self.spool = spool
        self.status = 0
        self.taken = []

    def take(self, dataset, sop_class, sop_uid, syntax, sender):
        self.taken.append((dataset, sop_class, sop_uid, syntax, sender))
        if self.status == 0:
            digest = hashlib.sha256(dataset).hexdigest()
            key = KEYS["receiving"]
            row = Instance(sop_uid, sop_class, UID, UID, key, syntax, digest, len(dataset), "", sender, time.time())
            self.store.add_instance(dataclasses.replace(row, file=self.spool.write([dataset])))
        return self.status

    def count_outcomes(self):
        return {Outcome.STORED: len(self.taken), Outcome.OUT_OF_RESOURCES: 3}


@contextlib.contextmanager
def make_view(folder):
    """A ServiceView over an empty queue; `.checks`, `.retried` and `.erased` are the tests' own."""
    folder.mkdir()
    with Database(folder) as database:
        store, audit, spool = JobStore(database), Audit(database), Spool(folder / "spool")
        checks = [Check("receiving", True), Check("engine demo", True)]

        def retry(key, actor):
            is_done = store.retry_study(key)
            if is_done:
                audit.note(actor, "retried", key)
            return "" if is_done else "only one that is refused or failed is scored again"

        def erase(key, actor):
            is_there = store.get_study(key) is not None
            spool.remove(store.erase_study(key))
            if is_there:
                audit.note(actor, "erased", key)
            return is_there

        yield ServiceView(
            store, DeliveryStore(database), audit, spool, FakeReception(store, spool), retry, erase, lambda: checks
        )


def add_instance(view, key, number=1, sender="CR-ROOM-1", data=b"\x08\x00"):
    view.store.add_instance(
        Instance(
            f"{UID}.{key}.{number}",
            CR,
            f"{UID}.{key}.0",
            f"{UID}.{key}",
            key,
            JPEG_2000,
            hashlib.sha256(data + bytes([number])).hexdigest(),
            677_000,
            view.spool.write([data]),
            sender,
            time.time(),
        )
    )
    view.audit.note(sender, "received", key)


def make_content(shift=0.0):
    scores = {"pneumonia": 0.812 + shift, "pleural effusion": 0.34, "cardiomegaly": 0.087}
    return {
        "scores": scores,
        "top": "pneumonia",
        "decisions": {"pneumonia": {"is_above": True, "threshold": 0.55}},
        "explanation": EXPLANATION,
        "notices": ["no earlier study was asked for"],
        "report_series_uid": f"{UID}.9",
        "provenance": {
            "engine": "demo",
            "precision": "fp32",
            "runtime": "onnxruntime 1.32.0",
            "fusion_mode": "frontal",
            "notices": ["DEMO MODEL: small, trained on 556 radiographs."],
        },
    }


def score(view, destinations=("pacs", "archive"), shift=0.0):
    """Score the study that waits; return its key and the UID of its report."""
    job = view.store.begin_scoring()
    report = ResultObject(f"2.25.{job.revision}{int(job.key, 16)}"[:64], SR, "sr", view.spool.write([b"report"]))
    result = Result(job.key, job.revision, "demo", "9f" * 32, make_content(shift), (report,), time.time())
    assert view.store.finish_scoring(result, destinations)
    view.audit.note("service", "scored", job.key)
    return job.key, report.sop_uid


def complete(view, key):
    add_instance(view, key)
    assert view.store.complete_study(key)


def fill_view(view):
    """One study in each state, and one of two revisions."""
    for name in ("done", "revised", "delivering"):
        complete(view, KEYS[name])
        key, _ = score(view)
        assert key == KEYS[name]
        deliveries = view.deliveries.list_deliveries(key=key)
        if name == "delivering":
            view.deliveries.mark_failed(deliveries[0], "destination does not answer")
        else:
            for delivery in deliveries:
                view.deliveries.mark_sent(delivery)
    add_instance(view, KEYS["revised"], 2)
    view.store.complete_study(KEYS["revised"])
    score(view, (), -0.2)
    complete(view, KEYS["refused"])
    view.store.refuse_study(view.store.begin_scoring(), "body part is not the chest: found hand", NOT_A_CHEST)
    complete(view, KEYS["failed"])
    for _ in range(3):
        view.store.fail_scoring(view.store.begin_scoring(), "engine ended: out of memory")
    complete(view, KEYS["scoring"])
    view.store.begin_scoring()
    complete(view, KEYS["complete"])
    add_instance(view, KEYS["receiving"], sender="DX-ROOM-2")


def make_settings(folder, **web):
    return Settings(folder, Receiving("ALTA", 11112), (), web=Web(**web))
