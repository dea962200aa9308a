"""What follows from a new version, and from an alias that moves: which version is in use, and other
words in the column `label`.

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
    # The new one first: where it has no words, the former need not be read.
    for version in (now.version, former):
        try:
            ref = context.registry.resolve(f"models:/{now.name}/{version}")
            words.append(read_label_words(context.registry.fetch(ref, context.bundle_cache)))
        except (BatchInferError, OSError) as error:
            return [
                f"version {version} cannot be read, so whether label says other words than before "
                f"is not known: {next(iter(str(error).splitlines()), '')}"
            ]
        if words[0].words is None:
            return []
    return changed_words(alias, former, words[1], words[0])


def not_in_use(context: Context, made: ModelRef) -> str | None:
    """The sentence about a new version that the pipeline does not score with, and how it would;
    None where it does.

    Runs on: driver.

    Raises:
        StorageError: the registry does not answer.
    """
    uri = context.pipeline.model.uri
    alias = context.pipeline.model.named.alias
    if alias is None:
        if uri == f"models:/{made.name}/{made.version}":
            return None
        return (
            f"version {made.version} is registered, and the pipeline stays with model.uri {uri}: "
            f"put models:/{made.name}/{made.version} there"
        )
    holder = context.registry.holder(made.name, alias)
    if holder == made.version:
        return None
    stays = f"{alias} stays with version {holder}" if holder else f"no version has {alias}"
    promote = context.asked.command("models", "--promote", made.version)
    return f"version {made.version} is registered, and {stays}: {promote} gives it to this one"
