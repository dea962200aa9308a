"""What follows from an alias that moves to another version: other words in the column `label`.

Owns how two versions of the registry are held against each other. Moves nothing.
"""

from __future__ import annotations

from batchinfer.contracts import ModelRef
from batchinfer.errors import BatchInferError
from batchinfer.pipeline.definition.context import Context


def warn_of_words(context: Context, alias: str, former: str | None, now: ModelRef) -> list[str]:
    """Warnings for whoever reads `label`, after the alias has moved from one version to another.

    A version that cannot be read is told too; it stops nothing.

    Args:
        former: the version that had the alias before; None if none had it.

    Runs on: driver.
    """
    from batchinfer.models.label_words import changed_words, read_label_words

    if former is None or former == now.version:
        return []
    words = []
    for version in (former, now.version):
        try:
            ref = context.registry.resolve(f"models:/{now.name}/{version}")
            words.append(read_label_words(context.registry.fetch(ref, context.bundle_cache)))
        except (BatchInferError, OSError) as error:
            return [
                f"version {version} cannot be read, so whether label says other words than before "
                f"is not known: {next(iter(str(error).splitlines()), '')}"
            ]
    sentence = changed_words(alias, former, *words)
    return [] if sentence is None else [sentence]
