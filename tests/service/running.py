"""A whole service in this process, and what is asked of one."""

import contextlib
from dataclasses import replace

from alta_sdk.service.service import Service
from alta_sdk.service.settings import Destination, DicomPeer
from service.fixtures import make_settings
from service.peers import wait_until
from service.scoring_side import make_choice


def make_destination(peer, name="pacs", **options):
    return Destination(name, DicomPeer(peer.ae_title, "127.0.0.1", peer.port, timeout_seconds=20.0), **options)


def make_service_settings(state, bundle, **options):
    """Return settings of a service on loopback without a page."""
    choices = options.pop("choices", (make_choice(bundle),))
    return replace(make_settings(state, **{"web": None, **options}), engines=tuple(choices))


@contextlib.contextmanager
def run_service(settings):
    with Service(settings) as service:
        yield service


def wait_for_state(service, key, *states):
    """Wait until a study is in one of some states; return it."""

    def find():
        study = service.store.get_study(key)
        return study if study is not None and study.state in states else None

    return wait_until(find, f"a study in {states}")
