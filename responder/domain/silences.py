"""How a silence of ours is known again: by who made it, and by what its comment ends with."""

OURS = "responder"
"""Who made it (``createdBy``)."""


def comment_of(text: str, run_id: str, key: str) -> str:
    """Return the comment of a silence that the effect ``key`` of a run makes."""
    return f"{text} [run {run_id}, {key}]".strip()


def made_by(comment: str, key: str) -> bool:
    """Say whether the effect ``key`` has made a silence with this comment."""
    return comment.endswith(f", {key}]")


def made_in(comment: str, run_id: str) -> bool:
    """Say whether a run has made a silence with this comment."""
    return f"[run {run_id}, " in comment
