"""The values that are handed along while a pipeline file is made: what was read of the data, and
what was found out.

Must not know how any kind of data is read, nor how a pipeline file is written.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from batchinfer.config.pipeline import Checks

# What is read of larger data, whichever comes first.
MOST_RECORDS = 100_000
MOST_BYTES = 64 * 2**20
_SHOWN = 60


@dataclass(frozen=True)
class FoundOption:
    """An option of the source that is not the default, and why."""

    name: str
    value: str | bool | tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class SampledColumn:
    """A column of the data.

    Attributes:
        name: in the pipeline file.
        type: as a schema names it, such as `long`.
        values: of the records read, as they land.
        given: its name in a file, or its path in a JSON record, where that is another one.
        reasons: why it has this type, where that is not plain.
    """

    name: str
    type: str
    values: pa.Array
    given: str | None = None
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class DataSample:
    """What was read of the data.

    Attributes:
        kind: of the source, such as `csv`.
        path: of the data, as the source's `path` names it.
        records: read, those for quarantine included.
        is_whole: nothing of the data was left unread.
        columns: in the data's order.
        options: that the source needs.
        bad: of the records, those for quarantine.
        unread: of columns that no pipeline can read, why.
        notes: what else is to be said of the source, such as records for quarantine.
        first_place: `source_file` and `source_line` of the first record that lands, where records
            have such.
        declares: whether the schema is written down; a Delta table says its own.
        commas: whether the data speak for commas before decimals, and points between thousands.
    """

    kind: str
    path: str
    records: int
    is_whole: bool
    columns: Sequence[SampledColumn]
    options: Sequence[FoundOption] = ()
    notes: Sequence[str] = ()
    first_place: tuple[str, int] | None = None
    declares: bool = True
    bad: int = 0
    unread: Sequence[str] = ()
    commas: bool = False


def too_many(sample: DataSample) -> bool:
    """Whether more of the records that were read are bad than may be, unless the file says more."""
    return sample.bad > Checks().max_quarantine_rate * sample.records


def rate_to_allow(sample: DataSample) -> float:
    """The least rate, in whole per cent, that lets what was read land."""
    return math.ceil(100 * sample.bad / sample.records) / 100


def bad_words(sample: DataSample) -> str:
    """What stands in the way of landing."""
    return (
        f"{sample.bad:,} of {sample.records:,} records are bad, more than "
        f"checks.max_quarantine_rate of {Checks().max_quarantine_rate:g} lets land."
    )


def told(value: object) -> str:
    """A value of the data as a comment shows it: in quotes, in one line, cut where it is long."""
    text = str(value)
    text = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
    return f'"{printable(text)}"'


def printable(text: str) -> str:
    """The text with an escape in place of each character that cannot be printed."""
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape", "surrogatepass").decode()
        for one in text
    )
