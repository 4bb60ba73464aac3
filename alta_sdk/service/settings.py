"""What a service is told by its configuration, as values: `config` reads and checks them."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Tls:
    """Certificates of one side, as files of PEM. authority: whose certificates the other side must show."""

    certificate: Path
    key: Path = field(repr=False)
    authority: Path


@dataclass(frozen=True)
class Receiving:
    """The storage SCP. calling_ae_titles: who may send; empty lets nobody in, ("*",) everybody.

    reserve_mib: free space of the disk below which nothing is taken. queue_limit: studies that wait.
    """

    ae_title: str
    port: int
    host: str = "127.0.0.1"
    calling_ae_titles: tuple[str, ...] = ()
    maximum_associations: int = 8
    maximum_pdu: int = 131_072
    idle_seconds: float = 60.0
    reserve_mib: int = 2048
    queue_limit: int = 1000
    allow_for_processing: bool = False
    tls: Tls | None = None


@dataclass(frozen=True)
class EngineChoice:
    """One engine and how it scores. labels: a named set, or names."""

    name: str
    path: Path
    labels: str | tuple[str, ...]
    device: str = "auto"
    runtime: str | None = None
    threads: int | None = None
    fusion_mode: str | None = None
    trust: Path | None = None
    any_body_part: bool = False
    any_view: bool = False
    heat_map: bool = False


@dataclass(frozen=True)
class Rule:
    """Which engine scores a study: the first rule that fits. None fits everything; description may hold * and ?."""

    engine: str
    calling_ae_title: str | None = None
    modality: str | None = None
    description: str | None = None


@dataclass(frozen=True)
class DicomPeer:
    """A DICOM node that is called."""

    ae_title: str
    host: str
    port: int
    tls: Tls | None = None
    timeout_seconds: float = 30.0


@dataclass(frozen=True)
class WebPeer:
    """A DICOMweb server. credentials: a file with one line, "user:password" or "Bearer TOKEN". authority: PEM."""

    url: str = field(repr=False)
    credentials: Path | None = None
    authority: Path | None = None
    timeout_seconds: float = 30.0


@dataclass(frozen=True)
class Destination:
    """Where results go. wants_commitment: of a DicomPeer; done is only what it says it keeps."""

    name: str
    peer: DicomPeer | WebPeer
    wants_commitment: bool = False


@dataclass(frozen=True)
class PriorSource:
    """Where earlier studies are asked for."""

    peer: DicomPeer | WebPeer
    most_seconds: float = 10.0


@dataclass(frozen=True)
class Keeping:
    """How long what is kept stays, from when a study is done."""

    images_hours: float = 24.0
    results_days: float = 30.0


@dataclass(frozen=True)
class Web:
    """The page and REST. users: name to password hash; empty asks for none, which only a loopback address may."""

    host: str = "127.0.0.1"
    port: int = 8104  # not 8042, which is Orthanc's
    users: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    certificate: Path | None = None
    key: Path | None = field(default=None, repr=False)
    show_identifiers: bool = False


@dataclass(frozen=True)
class Settings:
    """A whole configuration. state: the folder of queue and spool. site_key: None takes the user's own.

    peers: nodes that ask us for storage commitment, where they are answered; destinations need not be named again.
    """

    state: Path
    receiving: Receiving
    engines: tuple[EngineChoice, ...]
    rules: tuple[Rule, ...] = ()
    destinations: tuple[Destination, ...] = ()
    peers: tuple[DicomPeer, ...] = ()
    priors: PriorSource | None = None
    keeping: Keeping = Keeping()
    web: Web | None = Web()
    quiet_seconds: float = 20.0
    site_key: Path | None = None
