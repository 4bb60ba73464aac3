"""From the tables of a TOML file to Settings: every fault is noted with its line, and reading goes on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from difflib import get_close_matches
from typing import Any

from ..errors import ServiceError
from ..files.spelling import spell
from .config_keys import (
    DESTINATION,
    DICOM_PEER,
    ENGINE,
    KEEPING,
    PRIORS,
    RECEIVING,
    RULE,
    SERVICE,
    TABLES,
    TLS,
    WEB,
    WEB_PEER,
)
from .config_lines import Where, find_line
from .config_rules import check_destinations, check_names, check_web
from .config_values import Reader, Scope, Unfit, read_flag
from .settings import (
    Destination,
    DicomPeer,
    EngineChoice,
    Keeping,
    PriorSource,
    Receiving,
    Rule,
    Settings,
    Tls,
    Web,
    WebPeer,
)
from .web.login import USER_NAME, PasswordHash

NEEDED = {
    "service": ("state",),
    "receiving": ("ae_title", "port", "calling_ae_titles"),
    "engines": ("name", "path", "labels"),
}


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong in the file. line: from 1; 0 for the end of the file."""

    line: int
    text: str

    def __str__(self) -> str:
        """Return the fault as it is shown."""
        return f"line {self.line}: {self.text}" if self.line else self.text


class Reading:
    """One reading of a file, and the faults that were found."""

    def __init__(self, raw: Mapping[str, Any], lines: Mapping[Where, int], scope: Scope) -> None:
        """Read the tables of a file, whose keys stand on these lines."""
        self.raw, self.lines, self.scope = raw, dict(lines), scope
        self.faults: list[Fault] = []

    def read_all(self) -> Settings | None:
        """Return the settings, None if a part of them is missing; what is wrong is in `faults`."""
        self.refuse_unknown((), self.raw, TABLES)
        parts: dict[str, Any] = {
            "receiving": self.read_table(("receiving",), RECEIVING, Receiving, {"tls": self.read_tls}),
            "engines": self.read_list("engines", lambda place: self.read_table(place, ENGINE, EngineChoice)),
            "rules": self.read_list("rules", lambda place: self.read_table(place, RULE, Rule)),
            "destinations": self.read_list("destinations", self.read_destination),
            "peers": self.read_list("peers", self.read_node),
            "priors": self.read_priors() if "priors" in self.raw else None,
            "keeping": self.read_table(("keeping",), KEEPING, Keeping),
            "web": self.read_web(),
        }
        own = self.read_values(("service",), SERVICE, Settings)
        for name in NEEDED:
            if not self.raw.get(name):
                shown = f"[[{name}]]" if name == "engines" else f"[{name}]"
                self.tell((), f"{shown} is missing: write it, with {', '.join(NEEDED[name])}")
        self.check_together(parts)
        return None if self.faults else Settings(**own, **parts)

    def check_together(self, parts: Mapping[str, Any]) -> None:
        """Note what does not go together."""
        found = [*check_names(self.raw), *check_destinations(parts["destinations"])]
        if (web := parts["web"]) is not None:
            found += check_web(web)
            if parts["receiving"] and 0 != web.port == parts["receiving"].port:
                found.append((("web", "port"), "[web] port: is that of [receiving]; give it another"))
        for where, text in found:
            self.tell(where, text)

    def tell(self, where: Where, text: str) -> None:
        """Note a fault."""
        self.faults.append(Fault(find_line(self.lines, where) if where else 0, text))

    def find(self, where: Where) -> Any:
        """Return what stands at a place, an empty table if nothing does."""
        found: Any = self.raw
        for part in where:
            found = found.get(part, {}) if isinstance(found, dict) else found[part]
        return found

    def read_list(self, name: str, read: Callable[[Where], Any]) -> tuple[Any, ...]:
        """Read an array of tables."""
        given = self.raw.get(name, [])
        if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
            self.tell((name,), f"[[{name}]] is no list of tables: write [[{name}]] above each")
            return ()
        return tuple(read((name, number)) for number in range(len(given)))

    def read_table(
        self,
        where: Where,
        readers: Mapping[str, Reader],
        kind: type[Any],
        parts: Mapping[str, Callable[[Where], Any]] | None = None,
    ) -> Any:
        """Read a table as a value of `kind`, None if something is wrong in it. parts: its keys that are tables."""
        before = len(self.faults)
        values = self.read_values(where, readers, kind, parts or {})
        is_absent = where[0] not in self.raw and list_required(kind)
        return None if is_absent or len(self.faults) > before else kind(**values)

    def read_values(
        self,
        where: Where,
        readers: Mapping[str, Reader],
        kind: type[Any] | None,
        parts: Mapping[str, Callable[[Where], Any]] | None = None,
    ) -> dict[str, Any]:
        """Read the keys of a table that are right; kind: whose fields without a default must be there."""
        table, values, parts = self.find(where), {}, parts or {}
        if not isinstance(table, dict):
            self.tell(where, f"{name_place(where)} is no table: write it in brackets on a line of its own")
            return {}
        self.refuse_unknown(where, table, (*readers, *parts))
        for key, value in table.items():
            if key in parts:
                values[key] = parts[key]((*where, key))
            elif key in readers:
                try:
                    values[key] = readers[key](value, self.scope)
                except Unfit as unfit:
                    self.tell((*where, key), f"{name_place(where)} {key}: {unfit}")
        if where[0] in self.raw and kind is not None:
            needed = NEEDED[str(where[0])] if where == ("receiving",) else list_required(kind)
            self.require(where, table, [one for one in needed if one in readers])
        return values

    def require(self, where: Where, table: Mapping[str, Any], names: Sequence[str]) -> None:
        """Note keys that must be there and are not."""
        for name in names:
            if name not in table:
                self.tell(where, f"{name_place(where)} {name} is missing: write it below {name_place(where)}")

    def refuse_unknown(self, where: Where, table: Mapping[str, Any], known: Sequence[str]) -> None:
        """Note keys that nobody reads, each with the nearest one that somebody does."""
        for key in table:
            if key not in known:
                near = get_close_matches(key, known, n=1, cutoff=0.5)
                advice = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
                shown = f"{name_place(where)} {spell(key)}" if where else f"[{spell(key)}]"
                self.tell((*where, key), f"{shown} is unknown: {advice}")

    def read_tls(self, where: Where) -> Tls | None:
        """Read the certificates of one side."""
        found: Tls | None = self.read_table(where, TLS, Tls)
        return found

    def read_node(self, where: Where) -> DicomPeer | None:
        """Read a DICOM node."""
        found: DicomPeer | None = self.read_table(where, DICOM_PEER, DicomPeer, {"tls": self.read_tls})
        return found

    def read_peer(self, where: Where, others: Mapping[str, Reader]) -> tuple[Any, dict[str, Any]]:
        """Read a table that names a peer, by AE title or by URL, among other keys; return the peer and those."""
        table = self.find(where)
        is_web = isinstance(table, dict) and "url" in table
        kind: type[Any] = WebPeer if is_web else DicomPeer
        readers = WEB_PEER if is_web else DICOM_PEER
        before = len(self.faults)
        if is_web and "ae_title" in table:
            self.tell((*where, "url"), f"{name_place(where)} has a url and an ae_title: give it one of the two")
            return None, {}
        parts = {} if is_web else {"tls": self.read_tls}
        values = self.read_values(where, {**readers, **others}, kind, parts)
        if len(self.faults) > before:
            return None, {}
        own = {key: value for key, value in values.items() if key in others}
        return kind(**{key: value for key, value in values.items() if key not in others}), own

    def read_destination(self, where: Where) -> Destination | None:
        """Read one destination."""
        peer, own = self.read_peer(where, DESTINATION)
        if "name" not in self.find(where):
            self.tell(where, f"{name_place(where)} name is missing: write it below {name_place(where)}")
        return None if peer is None or "name" not in own else Destination(peer=peer, **own)

    def read_priors(self) -> PriorSource | None:
        """Read where priors are asked for."""
        peer, own = self.read_peer(("priors",), PRIORS)
        return None if peer is None else PriorSource(peer, **own)

    def read_web(self) -> Web | None:
        """Read the page's table; `enabled = false` in it wants no page."""
        values = self.read_values(("web",), {**WEB, "enabled": read_flag}, Web, {"users": self.read_users})
        return Web(**values) if values.pop("enabled", True) else None

    def read_users(self, where: Where) -> tuple[tuple[str, str], ...]:
        """Read names and password hashes."""
        table = self.find(where)
        if not isinstance(table, dict):
            self.tell(where, '[web.users] is no table: write it on a line of its own, and name = "hash" below')
            return ()
        users = []
        for number, (name, text) in enumerate(table.items(), start=1):
            try:
                check_user(name)
                PasswordHash.read(text if isinstance(text, str) else "")
                users.append((name, text))
            except ServiceError as error:
                self.tell((*where, name), f"[web.users] user {number}: {error}")
        return tuple(users)


def list_required(kind: type[Any]) -> list[str]:
    """Return the fields of a dataclass that have no default."""
    return [one.name for one in fields(kind) if one.default is MISSING and one.default_factory is MISSING]


def name_place(where: Where) -> str:
    """Return a table's name as it is written: [receiving], [[engines]] 2, [receiving.tls]."""
    name = ".".join(str(part) for part in where if isinstance(part, str))
    number = next((part for part in where if isinstance(part, int)), None)
    return f"[{name}]" if number is None else f"[[{name}]] {number + 1}"


def check_user(name: str) -> None:
    """Raise ServiceError for a name that nobody can log in by."""
    if not USER_NAME.fullmatch(name):
        raise ServiceError("name has to be 1 to 64 letters, digits and ._@-: give another")
