"""What is new in a source since it was landed last: a file for each family of sources says how that
is found and staged.

`new_files` for everything that is files, `remote_files` for those on a store, `new_pages` for HTTP
APIs, `new_rows` for databases. A Delta table is never landed: see `delta_in_place`. A stream would
be one more of these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchinfer.config.sources import FileSource, HttpSource, JdbcSource
from batchinfer.config.uris import are_remote
from batchinfer.pipeline.landing.increment import Increment, Landing

if TYPE_CHECKING:
    from batchinfer.spark.session import OpenSession


def find_increment(landing: Landing, open_session: OpenSession) -> Increment | None:
    """What is new in a source; None: nothing.

    Runs on: driver.

    Raises:
        InputError: a source that is missing, changed after it was landed, or breaks the contract of
            its columns.
        StorageError: a database or a server that does not answer.
    """
    # Each knows its own libraries; only that of the source at hand is imported.
    if isinstance(landing.source, HttpSource):
        from batchinfer.pipeline.landing.new_pages import find_new_pages

        return find_new_pages(landing, open_session)
    if isinstance(landing.source, JdbcSource):
        from batchinfer.pipeline.landing.new_rows import find_new_rows

        return find_new_rows(landing, open_session)
    if isinstance(landing.source, FileSource) and are_remote(landing.source.path):
        from batchinfer.pipeline.landing.remote_files import find_remote_files

        return find_remote_files(landing, open_session)
    from batchinfer.pipeline.landing.new_files import find_new_files

    return find_new_files(landing, open_session)
