"""When something was: DA, TM and DT values (PS3.5 6.2) that are a real day and time of day, else nothing.

De-identifiers write digits that are no day (00000000, 99999999, 19000100), and such a value must not put a study
before another one; nor must a day on which nobody was examined, such as the first of what a clock shows. Sets whose
days were moved may lie in the future as a whole, so such days order one another, and nothing that was. Offsets from UTC
are applied where all moments that are compared state one; else all are taken for readings of one place's clock.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydicom import Dataset

FIRST_YEAR = 1901  # of a radiograph: 19000101, 17530101 and 00010101 are what programs write for "no date"
LAST_YEAR = 2299  # days are moved forward by two centuries at most; 29991231 and 99981231 stand for "never"
CLOCK_YEARS = frozenset({*range(1901, 1981), 2000})  # 1 January of these is where clocks and programs begin
NO_DAYS = frozenset({datetime(1911, 11, 11)})
DAY = timedelta(days=1)
AHEAD = 2 * DAY  # of the clock here, in some place of the world
_DAY = re.compile(r"([0-9]{4})([.-]?)([0-9]{2})\2([0-9]{2})", re.ASCII)
_TIME = re.compile(r"([0-9]{2})(?:(:?)([0-9]{2})(?:\2([0-9]{2})(?:\.([0-9]{0,6}))?)?)?", re.ASCII)
_OFFSET = re.compile(r"([+-])([0-9]{2}):?([0-9]{2})?", re.ASCII)
_DATE_TIME = re.compile(r"([0-9]{8})([0-9.]*)([+-][0-9]{4})?", re.ASCII)
NO_DAY = datetime(FIRST_YEAR - 1, 1, 1)  # stands for the day of a time without one: before every real day


@dataclass(frozen=True)
class Moment:
    """A time of a day, or a whole day. clock: as its place's clock showed it, without an offset.

    is_day: no time of day is stated. offset: of that clock from UTC, None if it is not stated.
    """

    clock: datetime
    is_day: bool
    offset: timedelta | None = None

    def span(self, *, in_utc: bool) -> tuple[datetime, datetime]:
        """Return its first instant and its last, for a day the first of the next; of the place's clock or in UTC."""
        start = self.clock - self.offset if in_utc and self.offset is not None else self.clock
        return start, start + DAY if self.is_day else start

    @property
    def is_ahead(self) -> bool:
        """True if it is in the future, so that it is no day that was."""
        return self.clock > datetime.now() + AHEAD

    def is_before(self, other: "Moment", *, in_utc: bool) -> bool:
        """True if it is proven to be earlier: a day is not before a time of its own, nor before a day to come."""
        if self.is_ahead != other.is_ahead:
            return False
        ends, begins = self.span(in_utc=in_utc)[1], other.span(in_utc=in_utc)[0]
        return ends <= begins if self.is_day else ends < begins


def are_in_utc(moments: Iterable[Moment | None]) -> bool:
    """True if every moment can be brought to UTC; else all are compared as clocks showed them."""
    return all(moment is not None and moment.offset is not None for moment in moments)


def read_day(text: str) -> datetime | None:
    """Read a DA value, also as older files write it (2024.05.01); None if there is no such day."""
    found = _DAY.fullmatch(text.strip())
    if not found:
        return None
    try:
        return datetime(int(found[1]), int(found[3]), int(found[4]))
    except ValueError:
        return None


def read_time(text: str) -> timedelta | None:
    """Read a TM value, of which minutes and seconds may be left out; None if there is no such time of day."""
    found = _TIME.fullmatch(text.strip())
    if not found:
        return None
    hour, minute, second = (int(part or 0) for part in (found[1], found[3], found[4]))
    if hour > 23 or minute > 59 or second > 60:  # 60: a leap second
        return None
    return timedelta(hours=hour, minutes=minute, seconds=second, microseconds=int(f"{found[5] or '':0<6}"))


def read_offset(text: str) -> timedelta | None:
    """Read an offset from UTC, &ZZXX, also as other programs write it (+01:00, +01, Z).

    None if it is none, or beyond the -12 to +14 hours that exist.
    """
    text = text.strip()
    if text.upper() in ("Z", "UTC"):
        return timedelta()
    found = _OFFSET.fullmatch(text)
    if not found or int(found[3] or 0) > 59:
        return None
    offset = timedelta(hours=int(found[2]), minutes=int(found[3] or 0)) * (-1 if found[1] == "-" else 1)
    return offset if timedelta(hours=-12) <= offset <= timedelta(hours=14) else None


def is_unread_offset(text: str) -> bool:
    """True for an offset that is stated and cannot be read: nobody knows what the clock beside it means."""
    return bool(text.strip()) and read_offset(text) is None


def read_study_day(text: str) -> datetime | None:
    """Read a DA value on which a radiograph can have been taken; None if there is no such day."""
    day = read_day(text)
    if day is None or not FIRST_YEAR <= day.year <= LAST_YEAR or day in NO_DAYS:
        return None
    return None if (day.month, day.day) == (1, 1) and day.year in CLOCK_YEARS else day


def make_moment(day: datetime | None, time: timedelta | None, offset: timedelta | None) -> Moment | None:
    """Put a day, its time and an offset together; None without a day."""
    return None if day is None else Moment(day + (time or timedelta()), is_day=time is None, offset=offset)


def read_acquired(header: "Dataset") -> Moment | None:
    """Read when an image was acquired: the first of its date-and-time elements that states a time of day.

    A time without a day still orders the images of one study. Without a time, the day of AcquisitionDateTime.
    """
    offset = read_offset(_text(header, "TimezoneOffsetFromUTC"))
    whole = _read_date_time(_text(header, "AcquisitionDateTime"), offset)
    if whole is not None and not whole.is_day:
        return whole
    for kind in ("Acquisition", "Content", "Series"):
        time = read_time(_text(header, f"{kind}Time"))
        if time is not None:
            day = read_study_day(_text(header, f"{kind}Date")) or read_study_day(_text(header, "StudyDate")) or NO_DAY
            return make_moment(day, time, offset)
    return whole


def _read_date_time(text: str, offset: timedelta | None) -> Moment | None:
    found = _DATE_TIME.fullmatch(text)
    if not found or (found[2] and read_time(found[2]) is None):
        return None
    return make_moment(read_study_day(found[1]), read_time(found[2]), read_offset(found[3] or "") or offset)


def _text(header: "Dataset", keyword: str) -> str:
    value: Any = header.get(keyword)
    return str(value or "").strip()
