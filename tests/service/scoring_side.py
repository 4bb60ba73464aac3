"""A queue with an engine behind it: studies are put into it, and scored when a test says so."""

import contextlib
from dataclasses import dataclass, replace

from pydicom.uid import ExplicitVRLittleEndian

from alta_sdk.service.audit import Audit
from alta_sdk.service.database import Database
from alta_sdk.service.delivery_store import DeliveryStore
from alta_sdk.service.engines import Engines
from alta_sdk.service.heat_map import write_heat_map
from alta_sdk.service.job_store import JobStore
from alta_sdk.service.reception import Outcome, Reception
from alta_sdk.service.scoring import Scoring, Writers
from alta_sdk.service.settings import EngineChoice
from alta_sdk.service.spool import Spool
from alta_sdk.service.structured_report import write_report
from service.fixtures import SITE_KEY, key_of, make_settings, write_image


@dataclass
class ScoringSide:
    """An open queue, its engines and what scores."""

    settings: object
    store: JobStore
    deliveries: DeliveryStore
    spool: Spool
    audit: Audit
    reception: Reception
    engines: Engines
    scoring: Scoring
    folder: object

    def put(self, *images, sender="SENDER", is_complete=True):
        """Take images in; return their study's key."""
        for number, image in enumerate(images):
            path = write_image(self.folder / f"{number}.dcm", image)
            data = path.read_bytes()
            length = int.from_bytes(data[140:144], "little")
            status = self.reception.take(
                data[144 + length :], image.SOPClassUID, image.SOPInstanceUID, ExplicitVRLittleEndian, sender
            )
            assert status == Outcome.STORED, hex(status)
        key = key_of(images[0].StudyInstanceUID)
        if is_complete:
            self.store.complete_study(key)
        return key

    def study(self, key):
        return self.store.get_study(key)

    def list_spool(self):
        return {path.name for path in self.spool.folder.iterdir()}


def make_choice(bundle, **options):
    return EngineChoice("chest", bundle, options.pop("labels", ("pneumonia", "edema")), device="cpu", **options)


@contextlib.contextmanager
def open_scoring(state, bundle, *, choices=None, writers=None, find_prior=None, **options):
    """Open a queue in a folder, and an engine of a bundle, or several."""
    choices = choices or (make_choice(bundle),)
    settings = replace(make_settings(state, **options), engines=tuple(choices))
    state.mkdir(parents=True, exist_ok=True)
    with Database(state) as database:
        store, deliveries, audit, spool = (
            JobStore(database),
            DeliveryStore(database),
            Audit(database),
            Spool(state / "spool"),
        )
        reception = Reception(settings, store, spool, SITE_KEY, audit)
        engines = Engines(settings.engines)
        engines.open_all()
        scoring = Scoring(
            settings,
            store,
            spool,
            SITE_KEY,
            audit,
            writers or Writers(write_report, write_heat_map),
            engines,
            find_prior,
        )
        try:
            yield ScoringSide(
                settings, store, deliveries, spool, audit, reception, engines, scoring, state.parent / "sent"
            )
        finally:
            engines.close()
