"""What staged files of the quarantine say of their records: messages without secrets.

A record may repeat a token or a password that its server was asked with. It keeps it, for it is
data; what is said of it does not. Owns the columns of such a file. Commits nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from batchinfer.contracts import (
    QUARANTINE_PARTITIONS,
    SOURCE_FILE,
    SOURCE_LINE,
    StagedFile,
    quarantine_schema,
)
from batchinfer.credentials import has_secrets, hide_secrets
from batchinfer.lake.staged_files import read_staged, remove_staged
from batchinfer.lake.staging import StagedWriter

STATS_COLUMNS = (SOURCE_FILE, SOURCE_LINE)
_MESSAGE = "message"


def records_schema() -> pa.Schema:
    """Columns of a file of the quarantine table."""
    return pa.schema(
        [field for field in quarantine_schema() if field.name not in QUARANTINE_PARTITIONS]
    )


def messages_without_secrets(uri: str, files: Sequence[StagedFile]) -> list[StagedFile]:
    """The staged files; in place of one whose messages repeat a secret, a copy without it.

    Runs on: driver; executors were not given what its variables hold.

    Raises:
        StorageError: a file cannot be read or written.
    """
    if not has_secrets():
        return list(files)
    told: list[StagedFile] = []
    for file in files:
        rows = read_staged(uri, [file], records_schema().names)
        messages = rows[_MESSAGE].to_pylist()
        hidden = [None if message is None else hide_secrets(message) for message in messages]
        if hidden == messages:
            told.append(file)
            continue
        place = rows.schema.get_field_index(_MESSAGE)
        rows = rows.set_column(place, rows.schema.field(place), pa.array(hidden, pa.string()))
        folder = file.path.rpartition("/")[0]
        with StagedWriter(
            uri, records_schema(), QUARANTINE_PARTITIONS, STATS_COLUMNS, folder=folder
        ) as writer:
            for batch in rows.to_batches():
                writer.write(batch, file.partition)
            told += writer.close()
        remove_staged(uri, [file])
    return told
