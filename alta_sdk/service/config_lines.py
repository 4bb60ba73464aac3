"""Where the tables and keys of a TOML file stand: Python's own reader gives values without their lines.

For messages alone: what is read is what `tomllib` reads. A key inside an inline table has its table's line.
"""

import re
import tomllib

Where = tuple[str | int, ...]
_HEADER = re.compile(r"\s*(\[\[?)([^\[\]]+)\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"""\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*=""")
_PART = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")


def find_lines(text: str) -> dict[Where, int]:
    """Return the line, from 1, of each table and key of a TOML text; those of an array of tables by their number."""
    lines: dict[Where, int] = {}
    counts: dict[Where, int] = {}
    table: Where = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            table = _enter(_split(header[2]), header[1] == "[[", counts)
            lines.setdefault(table, number)
        elif key := _KEY.match(line):
            parts = _split(key[1])
            for count in range(1, len(parts) + 1):
                lines.setdefault((*table, *parts[:count]), number)
    return lines


def find_line(lines: dict[Where, int], where: Where) -> int:
    """Return the line of a table or key, or that of what it stands in; 1 for the file itself."""
    for length in range(len(where), 0, -1):
        if where[:length] in lines:
            return lines[where[:length]]
    return 1


def find_fault_line(error: tomllib.TOMLDecodeError) -> int:
    """Return the line that `tomllib` names, 0 for the end of the file."""
    found = re.search(r"at line (\d+)", str(error))
    return int(found[1]) if found else 0


def _enter(parts: list[str], is_array: bool, counts: dict[Where, int]) -> Where:
    """Return the place of a table that a header opens: below an array of tables it is of the last one."""
    place: Where = ()
    for position, part in enumerate(parts, start=1):
        place = (*place, part)
        if is_array and position == len(parts):
            counts[place] = counts.get(place, -1) + 1
        if place in counts:
            place = (*place, counts[place])
    return place


def _split(dotted: str) -> list[str]:
    return [part.strip("\"'") for part in _PART.findall(dotted)]
