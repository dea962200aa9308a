"""How many records may go to quarantine: `checks.max_quarantine_rate`, judged and told."""

from __future__ import annotations

from collections.abc import Mapping

from batchinfer.hinted_commands import Asked
from batchinfer.hints import Hint


def is_too_many(failed: int, of: int, allowed: float) -> bool:
    """Whether more records failed than the share that is allowed."""
    return failed / max(1, of) > allowed


def told_rate(failed: int, of: int, allowed: float, reasons: Mapping[str, int], what: str) -> str:
    """The sentence about too many of them.

    Args:
        reasons: how many failed for each, the commonest first.
        what: the records, and what could not be done with them.
    """
    counted = ", ".join(f"{reason} {count:,}" for reason, count in reasons.items())
    return (
        f"{failed:,} of {of:,} {what} ({counted}): a rate of {failed / max(1, of):.4f}; allowed: "
        f"checks.max_quarantine_rate {allowed}."
    )


def shows_quarantine(asked: Asked, slice_: str | None) -> str:
    """The hint that shows them."""
    command = asked.command("quarantine", *([] if slice_ is None else ["--slice", slice_]))
    return Hint(command, " shows why, and the first of them")
