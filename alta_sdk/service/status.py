"""How a service stands, read from its queue: also while it runs, and without a word to it."""

from typing import Any

from .database import Database
from .delivery_store import DeliveryStore
from .holding import is_served, require_state
from .job_store import JobStore
from .paths import SPOOL
from .records import DeliveryState, StudyState
from .settings import Settings
from .spool import Spool

MOST = 1000
TROUBLED = (StudyState.REFUSED, StudyState.FAILED)


def read_status(settings: Settings) -> dict[str, Any]:
    """Return counts, and the studies that need somebody; plain types, without an identifier."""
    state = settings.state
    require_state(state)
    with Database(state) as database:
        store, deliveries = JobStore(database), DeliveryStore(database)
        troubled = [
            {"key": one.key, "state": str(one.state), "reason": one.reason, "changed_at": one.changed_at}
            for one in store.list_studies(TROUBLED, limit=MOST)
        ]
        counts = deliveries.count_states()
        names = dict.fromkeys([one.name for one in settings.destinations] + [name for name, _ in counts])
        return {
            "schema_version": 1,
            "runs": is_served(state),
            "studies": {str(name): count for name, count in store.count_states().items()},
            "deliveries": {name: {str(one): counts.get((name, one), 0) for one in DeliveryState} for name in names},
            "commitments_waiting": len(deliveries.list_commitments()),
            "disk_free_mib": Spool(state / SPOOL).measure_free_mib(),
            "troubled": troubled,
        }
