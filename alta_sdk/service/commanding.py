"""What `alta service` does: by an order to the process that serves, or by itself where none does."""

from ..errors import ServiceError
from .actions import Actions
from .audit import Audit, Orders
from .database import Database
from .holding import ask_service, hold_state, is_served, require_state
from .job_store import JobStore
from .paths import SPOOL
from .settings import Settings
from .spool import Spool

DONE, REFUSED = "done: ", "refused: "


def command_service(settings: Settings, verb: str, argument: str, actor: str, *, most_seconds: float) -> str:
    """Have something done to a service's state; return in one line what came of it.

    Raises ServiceError if it cannot be done, or the service that runs has not answered in time.
    """
    state = settings.state
    require_state(state)
    with Database(state) as database:
        if is_served(state):
            answer = ask_service(state, Orders(database), verb, argument, actor, most_seconds)
            if answer.startswith(REFUSED):
                raise ServiceError(answer.removeprefix(REFUSED))
            return answer.removeprefix(DONE)
        with hold_state(state):
            actions = Actions(JobStore(database), Spool(state / SPOOL), Audit(database))
            return actions.perform(verb, argument, actor)
