"""Which runs are so small that starting Spark would take longer than the work.

One bound for all commands: a slice that is scored without a session is landed without one too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchinfer.config.environment import Environment
from batchinfer.spark.capacity import is_one_process, master_of
from batchinfer.spark.jvm import is_running, is_submitted, needing_session
from batchinfer.spark.tasks import THIS_PROCESS, OpenWorkplace, Workplace

if TYPE_CHECKING:
    from batchinfer.spark.session import OpenSession

# Spark and its workers take some eight seconds to start; one process does this much in less.
MOST_ROWS = 20_000
MOST_BYTES = 16 * 2**20
# Rows that are read, landed or fitted on, and not given to a model.
MOST_READ_ROWS = 1_000_000
# Why rows after table transforms need a session, however few they are.
PREPARED_BY_SPARK = "the steps of prepare are computed by Spark"


def is_small(environment: Environment, rows: int, size: int) -> bool:
    """Whether so many rows are worked on in one process of this machine, without a session.

    Args:
        size: bytes, as they are in the files.

    Runs on: driver.
    """
    fits = 0 < rows <= MOST_ROWS and size <= MOST_BYTES
    return fits and not why_executors(environment)


def why_executors(environment: Environment) -> str:
    """Why executors do all work in this environment, however small; empty where this process may do
    it.

    Runs on: driver.
    """
    if environment.spark.small_runs == "session":
        return "spark.small_runs: session"
    master = master_of(environment.spark)
    if is_one_process(master):
        return ""
    return f"work is done by executors of {master or 'the cluster'}"


def why_not_here(environment: Environment, size: int, rows: int = 0) -> str:
    """Why rows are read by a session's executors and not in this process; empty where they are not.

    Args:
        size: bytes, as they are in the files.
        rows: of them; 0 where nobody has counted them yet.

    Runs on: driver.
    """
    if size > MOST_BYTES:
        return f"{size:,} bytes to read; without a session: up to {MOST_BYTES:,}"
    if rows > MOST_READ_ROWS:
        return f"{rows:,} rows to read; without a session: up to {MOST_READ_ROWS:,}"
    return why_executors(environment)


def is_read_here(environment: Environment, size: int, rows: int = 0) -> bool:
    """Whether this process reads these rows itself now: they are few, and no session runs.

    Args:
        size, rows: as those of `why_not_here`.

    Runs on: driver.
    """
    has_session = is_running() or is_submitted()
    return not has_session and not why_not_here(environment, size, rows)


def workplace_opener(
    environment: Environment, open_session: OpenSession, size: int, rows: int = 0
) -> OpenWorkplace:
    """A function that says who does tasks that read these rows: this process where they are few and
    no session runs, whose workers would be warm; else the session, which it opens.

    Args:
        size, rows: as those of `why_not_here`.

    Runs on: driver.
    """

    def open_workplace() -> Workplace:
        if is_read_here(environment, size, rows):
            return THIS_PROCESS
        with needing_session(why_not_here(environment, size, rows)):
            return open_session()

    return open_workplace
