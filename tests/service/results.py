"""Results in a queue, waiting for their destinations, as scoring leaves them."""

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path

from alta_sdk.service.audit import Audit
from alta_sdk.service.database import Database
from alta_sdk.service.delivery import Deliverer
from alta_sdk.service.delivery_store import DeliveryStore
from alta_sdk.service.job_store import JobStore
from alta_sdk.service.records import DeliveryState, Instance, Result, ResultObject
from alta_sdk.service.settings import EngineChoice, Receiving, Settings
from alta_sdk.service.spool import Spool
from alta_sdk.service.structured_report import write_report
from service.reports import SITE_KEY, make_content, make_source

ENGINE = EngineChoice("chest", Path("chest.alta"), "chexpert5")


class NoCommitments:
    """Commitments that are asked for in vain, or given at once."""

    def __init__(self, deliveries, refusal=""):
        self.deliveries, self.refusal, self.asked = deliveries, refusal, []

    def request(self, destination, sent):
        self.asked.append([one.sop_uid for one in sent])
        for one in sent:
            self.deliveries.mark_sent(one, "2.25.1")
            if self.refusal:
                self.deliveries.mark_failed(one, self.refusal)
        return self.refusal


def score(store, number, objects, destinations):
    """Bring a study into a queue that was scored to some objects; return its key."""
    key = f"{number:032x}"
    uids = (f"1.2.826.77.6.{number}", "1.2.840.10008.5.1.4.1.1.1", "1.2.826.77.3", f"1.2.826.77.5.{number}")
    store.add_instance(Instance(*uids, key, "1.2.840.10008.1.2.1", "00", 1, "", "CR1", time.time()))
    store.complete_study(key)
    job = store.begin_scoring()
    assert job.key == key
    result = Result(key, job.revision, "chest", "5a" * 32, {"scores": {}}, tuple(objects), time.time())
    assert store.finish_scoring(result, destinations)
    return key


@dataclass
class Outbox:
    """A queue whose studies are scored, and what sends their results."""

    settings: Settings
    database: Database
    store: JobStore
    deliveries: DeliveryStore
    spool: Spool
    audit: Audit
    commitments: NoCommitments

    def add_result(self, number, encoded=None):
        """Score a study; return the SOP instance UID of its report."""
        key = f"{number:032x}"
        source = make_source(StudyInstanceUID=f"1.2.826.77.5.{number}", SOPInstanceUID=f"1.2.826.77.6.{number}")
        encoded = encoded or write_report(make_content(source, study_key=key), SITE_KEY)
        kept = ResultObject(encoded.sop_uid, encoded.sop_class, "sr", self.spool.write([encoded.data]))
        assert score(self.store, number, [kept], [one.name for one in self.settings.destinations]) == key
        return encoded.sop_uid

    def make_deliverer(self):
        return Deliverer(self.settings, self.deliveries, self.spool, self.audit, self.commitments)

    @contextlib.contextmanager
    def deliver(self):
        """Send what waits, until the block ends."""
        deliverer = self.make_deliverer()
        deliverer.start()
        try:
            yield deliverer
        finally:
            deliverer.stop()
            assert not deliverer.is_sending()

    def list_states(self):
        return [one.state for one in self.deliveries.list_deliveries()]

    def are_done(self):
        return set(self.list_states()) == {DeliveryState.DONE}


@contextlib.contextmanager
def open_outbox(state, *destinations, refusal=""):
    state.mkdir(parents=True, exist_ok=True)
    settings = Settings(state, Receiving("ALTA", 0), (ENGINE,), destinations=destinations)
    with Database(state) as database:
        deliveries = DeliveryStore(database)
        yield Outbox(
            settings,
            database,
            JobStore(database),
            deliveries,
            Spool(state / "spool"),
            Audit(database),
            NoCommitments(deliveries, refusal),
        )
