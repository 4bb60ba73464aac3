"""Text for files and screens, of names that are no text: a path on Linux may hold any bytes."""


def escape_bytes(text: str) -> str:
    """Return text with the bytes of a path that are no UTF-8 (surrogates, in Python) as "\\udcff"."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
