"""The tables of the configuration, their keys, and what each may hold."""

from ..engine.manifest_content import KNOWN_MODES
from .config_values import (
    Reader,
    number,
    one_of,
    read_ae_title,
    read_callers,
    read_flag,
    read_folder,
    read_host,
    read_labels,
    read_name,
    read_path,
    read_text,
    read_url,
    whole,
)

_SECONDS = number(0.1, 3600)
TLS: dict[str, Reader] = {"certificate": read_path, "key": read_path, "authority": read_path}
RECEIVING: dict[str, Reader] = {
    "ae_title": read_ae_title,
    "port": whole(0, 65535),
    "host": read_host,
    "calling_ae_titles": read_callers,
    "maximum_associations": whole(1, 1000),
    "maximum_pdu": whole(16_384, 131_072),
    "idle_seconds": _SECONDS,
    "reserve_mib": whole(1, 1 << 30),
    "queue_limit": whole(1, 1_000_000),
    "allow_for_processing": read_flag,
}
ENGINE: dict[str, Reader] = {
    "name": read_name,
    "path": read_path,
    "labels": read_labels,
    "device": one_of("auto", "cpu", "cuda"),
    "runtime": read_name,
    "threads": whole(1, 1024),
    "fusion_mode": one_of(*KNOWN_MODES),
    "trust": read_path,
    "any_body_part": read_flag,
    "any_view": read_flag,
    "heat_map": read_flag,
}
RULE: dict[str, Reader] = {
    "engine": read_name,
    "calling_ae_title": read_ae_title,
    "modality": one_of("CR", "DX"),
    "description": read_text,
}
DICOM_PEER: dict[str, Reader] = {
    "ae_title": read_ae_title,
    "host": read_host,
    "port": whole(1, 65535),
    "timeout_seconds": _SECONDS,
}
WEB_PEER: dict[str, Reader] = {
    "url": read_url,
    "credentials": read_path,
    "authority": read_path,
    "timeout_seconds": _SECONDS,
}
DESTINATION: dict[str, Reader] = {"name": read_name, "wants_commitment": read_flag}
PRIORS: dict[str, Reader] = {"most_seconds": number(0.1, 600)}
KEEPING: dict[str, Reader] = {"images_hours": number(0, 1e6), "results_days": number(0, 1e5)}
WEB: dict[str, Reader] = {
    "host": read_host,
    "port": whole(0, 65535),
    "certificate": read_path,
    "key": read_path,
    "show_identifiers": read_flag,
}
SERVICE: dict[str, Reader] = {"state": read_folder, "quiet_seconds": number(0.1, 86_400), "site_key": read_path}
TABLES = ("service", "receiving", "engines", "rules", "destinations", "peers", "priors", "keeping", "web")
