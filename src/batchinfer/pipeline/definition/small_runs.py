"""Which runs are so small that starting Spark would take longer than the work.

One bound for all commands: a slice that is scored without a session is landed without one too.
"""

from __future__ import annotations

from batchinfer.config.environment import Environment
from batchinfer.spark.capacity import is_one_process, master_of
from batchinfer.spark.jvm import is_running

# Spark and its workers take some eight seconds to start; one process does this much in less.
MOST_ROWS = 20_000
MOST_BYTES = 16 * 2**20


def is_small(environment: Environment, rows: int, size: int) -> bool:
    """Whether so many rows are worked on in one process of this machine, without a session.

    Args:
        size: bytes, as they are in the files.

    Runs on: driver.
    """
    fits = 0 < rows <= MOST_ROWS and size <= MOST_BYTES
    return fits and is_one_process(master_of(environment.spark))


def does_without_session(environment: Environment, rows: int, size: int) -> bool:
    """Whether this process does the work itself now: the rows are few, and no session runs, whose
    workers would be warm.

    Runs on: driver.
    """
    return not is_running() and is_small(environment, rows, size)
