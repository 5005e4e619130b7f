"""Sentences that people read, put side by side; what a person wrote stands in quotation marks."""

_ENDS = (".", "!", "?", "…", ":", ";")


def sentences(*parts: str) -> str:
    """Join what is not empty, each part but the last with its full stop."""
    said = [part.strip() for part in parts if part.strip()]
    ended = [part if part.endswith(_ENDS) else f"{part}." for part in said[:-1]]
    return " ".join([*ended, *said[-1:]])


def quoted(text: str) -> str:
    """Return a person's own words in quotation marks; nothing for nothing."""
    return f"“{text.strip()}”" if text.strip() else ""


def times(count: int) -> str:
    """Return ``once``, ``twice``, ``3 times``."""
    return {1: "once", 2: "twice"}.get(count, f"{count} times")
