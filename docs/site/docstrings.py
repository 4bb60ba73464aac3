"""Bring the SDK's docstrings into the form of the page: a point for each argument, a paragraph for what is raised.

In the code a docstring is plain lines, `name: what it is` and `Raises …`; Markdown would run them into one paragraph.
"""

import re
from typing import Any

from griffe import Extension, Object

ARGUMENT = re.compile(r"(?P<names>[a-z_]+(?:(?:, | and | or )[a-z_]+)*): (?P<rest>.*)")
PARAGRAPH = re.compile(r"(Raises|Returns?|Source|Not for)\b")


class ShapeDocstrings(Extension):
    """Rewrites every docstring as it is read; the code is not touched."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Shape the docstring of a module, class, function or attribute."""
        if obj.docstring is not None:
            obj.docstring.value = shape_docstring(obj.docstring.value)


def shape_docstring(text: str) -> str:
    """Return a docstring as Markdown: arguments as a list, what is raised and returned as paragraphs of their own."""
    lines: list[str] = []
    in_list = False
    for line in text.splitlines():
        argument = ARGUMENT.match(line)
        if argument:
            lines += ([] if in_list else [""]) + [f"- `{argument['names']}`: {argument['rest']}"]
            in_list = True
        elif PARAGRAPH.match(line) or not line.strip():
            lines += ["", line]
            in_list = False
        else:
            lines.append(f"    {line}" if in_list else line)
    return "\n".join(lines)
