"""The text of a pipeline file, with a comment behind each choice.

Owns YAML: quoting, layout, comments. Must not know how anything was found out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from batchinfer.starting.proposed import Proposal
from batchinfer.starting.proposed_target import ProposedTarget
from batchinfer.starting.sample import (
    MOST_BYTES,
    MOST_RECORDS,
    DataSample,
    SampledColumn,
    bad_words,
    printable,
    rate_to_allow,
    too_many,
)

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Words that YAML reads as something else than text.
_NO_TEXT = {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"}


def write_pipeline(name: str, sample: DataSample, proposal: Proposal, path: str) -> str:
    """The pipeline file.

    Args:
        path: of the data, as the file names it.
    """
    lines = [*_head(name, sample), *_source(sample, proposal, path)]
    lines += [*_features(proposal), *_train(name, proposal.target)]
    if too_many(sample):
        lines += [
            _comment("Nothing lands while more of the records are bad than this allows:"),
            _comment(f"checks: {{max_quarantine_rate: {rate_to_allow(sample)}}}"),
        ]
    return "\n".join(lines) + "\n"


def scalar(value: Any) -> str:
    """A value as YAML reads it back, references to variables undone."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, tuple):
        return "[" + ", ".join(scalar(one) for one in value) + "]"
    text = str(value)
    if _PLAIN.fullmatch(text) and text.lower() not in _NO_TEXT:
        return text
    return f'"{"".join(_character(one) for one in text.replace("$", "$$"))}"'


def _names(names: tuple[str, ...]) -> str:
    """Names of columns: one as it is, several as a list."""
    [first, *more] = names
    return scalar(names if more else first)


def _key(text: str) -> str:
    """A key of a mapping: nothing is filled in there, so a $ stays one."""
    return scalar(text).replace("$$", "$")


def _character(one: str) -> str:
    if one in '"\\':
        return f"\\{one}"
    if one.isprintable():
        return one
    number = ord(one)
    return f"\\x{number:02x}" if number < 0x100 else (
        f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
    )  # fmt: skip


def _comment(text: str, indent: str = "") -> str:
    """A line of its own; the words of the data in it cannot end it."""
    return f"{indent}# {printable(text)}"


def _head(name: str, sample: DataSample) -> Iterator[str]:
    yield _comment("Written by batchinfer init from the data. All of it may be changed.")
    if sample.is_whole:
        yield _comment(f"All {sample.records:,} records of the data were read for it.")
    else:
        yield _comment(
            f"The data is larger than what was read of it: the first {sample.records:,} records "
            f"(at most {MOST_RECORDS:,} of them, or {MOST_BYTES // 2**20} MiB)."
        )
    yield f"name: {scalar(name)}"


def _source(sample: DataSample, proposal: Proposal, path: str) -> Iterator[str]:
    yield "source:"
    yield f"  kind: {sample.kind}"
    yield f"  path: {scalar(path)}"
    for note in sample.notes:
        yield _comment(note, "  ")
    if too_many(sample):
        yield _comment(bad_words(sample), "  ")
    if sample.options:
        yield "  options:"
        for option in sample.options:
            yield _comment(option.reason, "    ")
            yield f"    {option.name}: {scalar(option.value)}"
    if sample.declares:
        yield "  schema:"
        for column in sample.columns:
            for reason in column.reasons:
                yield _comment(reason, "    ")
            yield f"    {_key(column.name)}: {_declared(sample, column)}"
    for reason in sample.unread:
        yield _comment(f"{reason}.", "  ")
    if sample.unread:
        yield "  columns: {new: ignore}"
    key = proposal.key
    yield _comment(f"{key.reason}.", "  ")
    yield f"  key: {_names(key.columns)}"
    if proposal.times:
        first = scalar(proposal.times[0])
        yield _comment(
            f"A slice is the day of a landing; slice: {{column: {first}, unit: day}} would cut by "
            f"the day in {proposal.times[0]} instead"
            + (f" (or by that in {', '.join(proposal.times[1:])})." if proposal.times[1:] else "."),
            "  ",
        )
    yield "  slice: ingest_date"


def _declared(sample: DataSample, column: SampledColumn) -> str:
    if column.given is None:
        return scalar(column.type)
    place = "path" if sample.kind == "json" else "column"
    return f"{{type: {scalar(column.type)}, {place}: {scalar(column.given)}}}"


def _features(proposal: Proposal) -> Iterator[str]:
    for one in proposal.left_out:
        yield _comment(f"Not a feature: {one.column}: {one.reason}.")
    if not proposal.steps:
        yield _comment(
            "No column was found that could be a feature; docs/transforms.md has all steps."
        )
        return
    yield "features:"
    for step in proposal.steps:
        yield _comment(f"{step.reason[0].upper()}{step.reason[1:]}.", "  ")
        columns = _names(step.columns)
        more = "".join(f", {name}: {scalar(value)}" for name, value in step.parameters)
        yield f"  - {step.name}: {{columns: {columns}{more}}}"


def _train(name: str, target: ProposedTarget | None) -> Iterator[str]:
    if target is None:
        yield _comment("To learn a column, add it here, and take it out of the features:")
        yield _comment("train: {target: {column: COLUMN}, model: mlp_classifier}")
    else:
        yield "train:"
        if target.positive is None:
            yield f"  target: {{column: {scalar(target.column)}}}"
        else:
            yield _comment(f"Of the two, {target.positive_reason}.", "  ")
            yield (
                f"  target: {{column: {scalar(target.column)}, positive: "
                f"[{scalar(target.positive)}]}}"
            )
        yield _comment(f"{target.reason}.", "  ")
        yield f"  model: {target.model}"
        yield _comment(f"{target.parameters_reason}.", "  ")
        inside = ", ".join(f"{key}: {scalar(value)}" for key, value in target.parameters)
        yield f"  params: {{{inside}}}"
    yield _comment(
        f"The model is models:/{name}@champion, the predictions are in predictions/{name}."
    )
