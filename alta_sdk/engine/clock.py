"""The time, as results carry it."""

from datetime import UTC, datetime


def tell_time() -> str:
    """Return the time now in UTC, to the second, as ISO 8601 has it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
