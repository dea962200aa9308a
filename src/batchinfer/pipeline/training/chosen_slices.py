"""Which landed slices a training learns from, as the command line and the API name them.

Reads the names of slices, and no rows.
"""

from __future__ import annotations

from collections.abc import Sequence

from batchinfer.errors import ConfigError, InputMissing
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.definition.slice_names import check_slice, slices_between
from batchinfer.pipeline.slices.landed import read_slices


def slices_to_learn_from(
    context: Context, slices: Sequence[str], start: str | None, end: str | None
) -> list[str]:
    """The slices that `--slice …` or `--from`/`--to` name; none means all.

    Raises:
        ConfigError: both ways at once, half a range, or a name that the pipeline cannot have.
        InputMissing: a range in which nothing has landed.
    """
    rule = context.pipeline.source.slice
    if start is None and end is None:
        return [check_slice(rule, name) for name in slices]
    if slices or start is None or end is None:
        raise ConfigError(
            "train: got a mix of --slice, --from and --to; allowed: --slice … or both --from and "
            "--to"
        )
    bounds = check_slice(rule, start, "--from"), check_slice(rule, end, "--to")
    landed = read_slices(context.landed)
    found = [name for name in slices_between(rule, landed, *bounds) if name in landed]
    if not found:
        raise InputMissing(
            f"no slice between {start} and {end} has landed in {context.landed}; landed: "
            f"{', '.join(sorted(landed)) or 'none'}"
        )
    return found
