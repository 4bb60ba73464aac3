"""What the columns of an archive are, and what all of its rows have in common: never mixed with another origin."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..errors import EngineError, IntegrityError
from ..study.key import KEY_BYTES
from .extra import require

VERSION = 1
METADATA = b"alta_archive"
# What a table of studies may give, where headers do not.
STATED = ("age", "sex", "view")
HIDDEN = ("vector",)  # cannot be compared with anything in --where
MAX_LABELS = 200


@dataclass(frozen=True)
class ArchiveOrigin:
    """What the rows of an archive are made with.

    engine: the SHA-256 that names it. mode: the fusion mode. profile: the intensity profile. site_key: the
    fingerprint of the key that signs studies. width: of the vectors. labels: the findings that are scored, in their
    order. has_dates: the study's day is kept, beside its month.
    """

    engine: str
    mode: str
    profile: str
    site_key: str
    width: int
    labels: tuple[str, ...] = ()
    has_dates: bool = False

    def render(self) -> bytes:
        """Return it as it stands in the table's metadata."""
        return json.dumps({"version": VERSION, **asdict(self)}, sort_keys=True).encode("ascii")

    @classmethod
    def parse(cls, text: bytes | None) -> "ArchiveOrigin":
        """Read it; raise IntegrityError for a table that is no archive, EngineError for one of a newer version."""
        try:
            content: dict[str, Any] = json.loads(text or b"")
            version = content.pop("version")
            is_newer = version > VERSION
            found = None if is_newer else cls(**{**content, "labels": tuple(content["labels"])})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise IntegrityError("table is no archive of alta: give the folder that `alta embed` wrote") from error
        if found is None:
            raise EngineError("archive is of a newer version than this SDK reads: upgrade alta-sdk")
        return found

    def require_same(self, other: "ArchiveOrigin") -> None:
        """Raise EngineError, naming what differs, unless another origin is this one."""
        names = {
            "engine": "engine",
            "mode": "fusion mode",
            "profile": "intensity profile",
            "site_key": "site key",
            "width": "width",
            "labels": "labels (--labels)",
            "has_dates": "choice of dates (--with-dates)",
        }
        differ = [name for field, name in names.items() if getattr(self, field) != getattr(other, field)]
        if differ:
            raise EngineError(
                f"the archive that is there is of another {' and '.join(differ)}: give what it was made with, or "
                "another --out"
            )

    def without_site_key(self) -> "ArchiveOrigin":
        """Return it without the site's fingerprint, for a reader who has no key."""
        return replace(self, site_key="")


def name_score(label: str) -> str:
    """Return the column of a finding's scores: score_pleural_effusion."""
    return "score_" + re.sub("[^a-z0-9]+", "_", label.lower()).strip("_")


def check_labels(labels: Sequence[str]) -> tuple[str, ...]:
    """Return findings that each have a column of their own; raise EngineError for two that would share one."""
    names = [name_score(label) for label in labels]
    if len(set(names)) != len(names) or "score_" in names or len(names) > MAX_LABELS:
        raise EngineError(
            f"labels need names of letters and digits that tell them apart, and {MAX_LABELS} at most: rename them"
        )
    return tuple(labels)


def make_row_schema(origin: ArchiveOrigin) -> Any:
    """Return the columns that describe a study: those of the archive without `shard`."""
    pa = require("pyarrow", "archive")
    dates = [pa.field("study_date", pa.date32())] if origin.has_dates else []
    return pa.schema(
        [
            pa.field("key", pa.binary(KEY_BYTES), nullable=False),
            pa.field("vector", pa.list_(pa.float32(), origin.width), nullable=False),
            *(pa.field(name_score(label), pa.float32()) for label in origin.labels),
            pa.field("age", pa.int16()),
            pa.field("sex", pa.string()),
            pa.field("view", pa.string()),
            pa.field("study_month", pa.string()),
            *dates,
            pa.field("slots", pa.string()),
        ]
    )


def make_schema(origin: ArchiveOrigin) -> Any:
    """Return the columns of an archive, with what made it in their metadata."""
    pa = require("pyarrow", "archive")
    rows = make_row_schema(origin)
    return pa.schema([*rows, pa.field("shard", pa.string())], metadata={METADATA: origin.render()})
