"""What of a configuration is right in itself and does not go together.

Names are compared as they stand in the file, so that a fault elsewhere hides none of these.
"""

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .config_lines import Where
from .settings import Destination, Web, WebPeer

Place = tuple[Where, str]
FITS = ("calling_ae_title", "modality", "description")


def check_names(raw: Mapping[str, Any]) -> Iterator[Place]:
    """Yield names that are given twice, and rules and engines that do not find each other."""
    engines, rules, destinations = (_list_tables(raw, table) for table in ("engines", "rules", "destinations"))
    yield from _check_unique("engines", engines)
    yield from _check_unique("destinations", destinations)
    names = [one.get("name") for one in engines]
    if not rules and len(engines) > 1:
        yield ("engines", 1), "[[rules]] is missing: with several engines write which one scores which study"
    for number, rule in enumerate(rules):
        if "engine" in rule and rule["engine"] not in names:
            yield ("rules", number, "engine"), f"[[rules]] {number + 1} engine: no [[engines]] has this name"
    wide = [not any(key in rule for key in FITS) for rule in rules]
    if True in wide[:-1]:
        first = wide.index(True)
        yield ("rules", first), f"[[rules]] {first + 1} fits every study, and those behind it none: put it last"
    for number, name in enumerate(names):
        if rules and name not in [rule.get("engine") for rule in rules]:
            yield ("engines", number), f"[[engines]] {number + 1}: no rule takes it; write a rule, or take it out"


def _list_tables(raw: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    given = raw.get(name)
    return [one if isinstance(one, dict) else {} for one in given] if isinstance(given, list) else []


def _check_unique(table: str, rows: Sequence[Mapping[str, Any]]) -> Iterator[Place]:
    names = [row.get("name") for row in rows]
    for number, name in enumerate(names):
        if name is not None and name in names[:number]:
            yield (table, number, "name"), f"[[{table}]] {number + 1} name: is taken already; give each its own"


def check_destinations(destinations: Sequence[Destination | None]) -> Iterator[Place]:
    """Yield destinations that are asked for what their kind does not have."""
    for number, one in enumerate(destinations):
        if one is not None and one.wants_commitment and isinstance(one.peer, WebPeer):
            where = ("destinations", number, "wants_commitment")
            yield where, f"[[destinations]] {number + 1} wants_commitment: DICOMweb has none; take it out"


def check_web(web: Web) -> Iterator[Place]:
    """Yield what keeps a page from being shown safely."""
    if (web.certificate is None) != (web.key is None):
        yield ("web",), "[web] has one of certificate and key: give both, or none"
    if not is_loopback(web.host):
        if web.certificate is None:
            yield ("web", "host"), "[web] host: another address than 127.0.0.1 needs certificate and key"
        if not web.users:
            yield ("web", "host"), "[web] host: another address than 127.0.0.1 needs [web.users]"


def is_loopback(host: str) -> bool:
    """True for an address that other machines do not reach."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
