"""The format of the lake's tables: a number in their properties, and what a build does that does
not know it.

Owns the property and the sentence. A table without the property is of format 1: it was made before
there was one. Knows no room: `lake` asks it wherever it opens a table, with the properties that it
has read anyway.
"""

from __future__ import annotations

from collections.abc import Mapping

from batchinfer.errors import TableTooNew
from batchinfer.version import __version__

FORMAT_PROPERTY = "batchinfer.format"
# The newest format that this build reads and writes, and the one of the tables that it makes. It
# grows when what stands in a table means something that an older build would take for something
# else.
TABLE_FORMAT = 1


def check_format(table: str, properties: Mapping[str, str | None]) -> None:
    """Whether this build knows the format of a table; also of somebody else's, which has none.

    Args:
        table: path or URI, for the sentence.
        properties: of the table, as Delta's log has them.

    Runs on: driver

    Raises:
        TableTooNew: the table is of a newer format, or of one that is no number.
    """
    told = properties.get(FORMAT_PROPERTY)
    if told is None or (told.isascii() and told.isdigit() and int(told) <= TABLE_FORMAT):
        return
    raise TableTooNew(
        f"{table}: the table is of format {told}, and this build, batchinfer {__version__}, knows "
        f"formats up to {TABLE_FORMAT}; allowed: a build that knows the table's format, so upgrade "
        "batchinfer",
        "another try will not help: a newer batchinfer has written this table, and none of its "
        "rows was read or changed",
    )
