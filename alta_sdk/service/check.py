"""Try all that a service needs, before it serves: disk, engines, ports, peers, and a report written and read back.

A line for each, with what to do where it fails; nothing is left behind, and no peer is sent anything but an echo or a
search.
"""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

import numpy as np

from ..engine.self_test import require
from ..errors import ServiceError
from ..study.key import open_site_key
from .engines import OpenEngine, open_engine
from .extra import require_extra
from .health import Check
from .holding import is_served, make_state_folder
from .loops import describe_fault
from .paths import SPOOL
from .settings import DicomPeer, EngineChoice, Receiving, Settings, Web, WebPeer
from .spool import Spool

SEARCH = ("/studies", {"limit": "1", "PatientID": "alta-sdk"})  # that nobody has

Try = Callable[[], str]


def check_service(settings: Settings) -> list[Check]:
    """Try everything; return what came of each, in the order of what builds on what."""
    with ExitStack() as stack:
        return [_run(name, attempt) for name, attempt in _list_attempts(settings, stack)]


def _run(name: str, attempt: Try) -> Check:
    try:
        return Check(name, True, attempt())
    except Exception as error:
        return Check(name, False, describe_fault(error))


def _list_attempts(settings: Settings, stack: ExitStack) -> Iterator[tuple[str, Try]]:
    """Yield the name of each attempt and what makes it; engines that open are closed with the stack."""
    yield "packages", _try_packages
    yield "state folder", partial(_try_state, settings)
    yield "disk", partial(_try_disk, settings)
    yield "site key", partial(_try_site_key, settings)
    opened: list[OpenEngine] = []
    for choice in settings.engines:
        yield f"engine {choice.name}", partial(_try_engine, choice, opened, stack)
    yield "report", partial(_try_report, settings, opened)
    yield f"DICOM port {settings.receiving.port}", partial(_try_receiving, settings)
    yield "transfer syntaxes", _try_syntaxes
    if settings.web is not None:
        yield f"page on port {settings.web.port}", partial(_try_web, settings, settings.web)
    for one in settings.destinations:
        yield f"destination {one.name}", partial(_try_peer, settings, one.peer)
    if not settings.destinations:
        yield "destinations", _tell_no_destination
    if settings.priors is not None:
        yield "priors", partial(_try_peer, settings, settings.priors.peer)


def _try_packages() -> str:
    require_extra()
    return ""


def _try_state(settings: Settings) -> str:
    make_state_folder(settings.state)
    runs = is_served(settings.state)
    spool = Spool(settings.state / SPOOL)
    spool.remove((spool.write((b"alta-sdk",)),))
    return "a service runs on it" if runs else "can be written"


def _try_disk(settings: Settings) -> str:
    free, reserve = Spool(settings.state / SPOOL).measure_free_mib(), settings.receiving.reserve_mib
    if free < reserve:
        raise ServiceError(f"{free} MiB are free, less than reserve_mib = {reserve}: nothing would be taken; make room")
    return f"{free} MiB free, {reserve} are kept"


def _try_site_key(settings: Settings) -> str:
    key, is_new = open_site_key(settings.site_key, settings.state)
    return f"{key.fingerprint}{', made just now: keep it' if is_new else ''}"


def _try_engine(choice: EngineChoice, opened: list[OpenEngine], stack: ExitStack) -> str:
    engine = open_engine(choice)
    stack.callback(engine.matcher.close)
    drifts = engine.matcher.engine.run_self_test()
    for drift in drifts:
        require(drift)
    opened.append(engine)
    origin = engine.matcher.engine.provenance
    worst = min(drift.worst_cosine for drift in drifts)
    return f"{engine.sha256[:12]}, {origin['precision']} in {origin['runtime']}, self-test cosine {worst:.6f}"


def _try_report(settings: Settings, opened: list[OpenEngine]) -> str:
    """Score a made-up picture, write its report, and read the scores from the report's file again."""
    from .structured_report import read_scores
    from .trial import write_trial_report

    if not opened:
        raise ServiceError("needs an engine: see above")
    scores, data = write_trial_report(opened[0])
    spool = Spool(settings.state / SPOOL)
    name = spool.write((data,))
    try:
        read = read_scores(spool.find(name).read_bytes())
    finally:
        spool.remove((name,))
    if read.keys() != scores.keys() or not np.allclose(
        [read[label] for label in read], [scores[label] for label in read], rtol=0, atol=1e-6
    ):
        raise ServiceError("report does not say what was scored: install alta-sdk again")
    return f"{len(read)} scores written and read back, {len(data) >> 10} KiB"


def _try_receiving(settings: Settings) -> str:
    from .tls import make_server_context

    receiving = settings.receiving
    if receiving.tls is not None:
        make_server_context(receiving.tls)
    told = _try_port(settings, receiving.host, receiving.port, "[receiving] port")
    if not receiving.calling_ae_titles:
        raise ServiceError('nobody may send: name AE titles in [receiving] calling_ae_titles, or ["*"]')
    return f"{told}; {_name_callers(receiving)} may send to {receiving.ae_title}"


def _name_callers(receiving: Receiving) -> str:
    return "everybody" if "*" in receiving.calling_ae_titles else ", ".join(receiving.calling_ae_titles)


def _try_port(settings: Settings, host: str, port: int, key: str) -> str:
    """Take a port and give it back, or say that the service that runs has it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        if not hasattr(socket, "SO_EXCLUSIVEADDRUSE"):
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError as error:
            if is_served(settings.state):
                return "taken, as the service runs"
            raise ServiceError(
                f"{error.strerror}: another program has it, or the address is not this machine's; check {key} and host"
            ) from error
    return "free"


def _try_syntaxes() -> str:
    from .syntaxes import list_syntaxes

    return f"{len(list_syntaxes())} can be decoded; alta doctor lists what the others need"


def _try_web(settings: Settings, web: Web) -> str:
    import ssl

    if web.certificate is not None and web.key is not None:
        try:
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(web.certificate, web.key, lambda: "")
        except (OSError, ValueError) as error:
            raise ServiceError(
                "certificate or key cannot be read, or they do not belong together: give both as PEM"
            ) from error
    told = _try_port(settings, web.host, web.port, "[web] port")
    return f"{told}; {len(web.users)} users" if web.users else f"{told}; open to whoever works on this machine"


def _try_peer(settings: Settings, peer: DicomPeer | WebPeer) -> str:
    """Ask a peer whether it is there: by C-ECHO, or by a search that finds nothing."""
    if isinstance(peer, WebPeer):
        from .dicomweb import WebClient

        path, query = SEARCH
        WebClient(peer).search(path, query)
        return "answers a search"
    from .calling import call_peer
    from .syntaxes import COMMAND_SYNTAXES, VERIFICATION

    with call_peer(settings.receiving.ae_title, peer, ((VERIFICATION, COMMAND_SYNTAXES),)) as association:
        status = association.send_c_echo()
        if "Status" not in status or status.Status != 0:
            raise ServiceError("peer does not answer C-ECHO: check that it knows our AE title")
    return "answers C-ECHO"


def _tell_no_destination() -> str:
    return "none: results are on the page and by REST alone"
