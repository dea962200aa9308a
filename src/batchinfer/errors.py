"""Every error that batchinfer raises on purpose, each with the exit code of the command it ends.

Owns the exit codes. Knows nothing of Spark, of configuration files, or of how an error is shown.

Wording of a message: the fact, what was got, what is allowed. A hint, where there is one, never
destroys data. No message shows a credential that stands in an address, wherever its text came from.
Every class survives pickling, because errors cross from executors to the driver.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from typing import Any

from batchinfer.credentials import without_credentials
from batchinfer.hints import CommandLine, Hint


class BatchInferError(Exception):
    """Base of all errors raised on purpose.

    Attributes:
        problems: one sentence each; at least one. The command line prints them all and puts them
            into `errors`.
        hint: what to do next, or None.
        exit_code: of the command that ends with this error.
        worth_a_retry: it may pass by waiting: another run holds the slice, storage or the registry
            does not answer. All others stay as they are until someone has changed something.
        says_of_slice: whether it tells that something is wrong with the slice it was raised for, or
            with its model.
        facts: what is known of the run that ended (run_id, pipeline, slice), for the JSON line.
    """

    exit_code = 1
    worth_a_retry = False
    says_of_slice = True

    def __init__(self, problems: str | Sequence[str], hint: str | None = None) -> None:
        told = (problems,) if isinstance(problems, str) else problems
        self.problems: tuple[str, ...] = tuple(without_credentials(problem) for problem in told)
        self.hint = _told(hint) if hint else hint
        self.facts: dict[str, Any] = {}
        super().__init__("\n".join(self.problems))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.problems, self.hint)


def _told(hint: str) -> str:
    """The hint without credentials; its commands stay apart from its words."""
    if isinstance(hint, CommandLine):
        return CommandLine(without_credentials(hint))
    return (
        hint.changed(without_credentials) if isinstance(hint, Hint) else without_credentials(hint)
    )


def listed_some(problems: Sequence[str], shown: int = 20) -> list[str]:
    """The first problems, and how many more there are: ten thousand files may have the same one."""
    more = len(problems) - shown
    return [*problems[:shown], f"and {more:,} more like these"] if more > 1 else list(problems)


class ConfigError(BatchInferError, ValueError):
    """A command line, pipeline file or environment file that cannot be run: every problem at
    once.
    """

    exit_code = 2
    says_of_slice = False


class SetupError(BatchInferError, RuntimeError):
    """The machine lacks what the command needs: Java, a package, a jar."""

    exit_code = 2
    says_of_slice = False


class InputError(BatchInferError, ValueError):
    """Input that is missing or breaks its contract: a file, a slice, columns, keys, input
    checks.
    """

    exit_code = 3


class InputMissing(InputError, FileNotFoundError):
    """A file, a folder or a slice that is not there."""


class DamagedFile(InputError):
    """A file whose bytes are not those that were written: a page or a footer does not match its
    checksum, or cannot be decoded.
    """


class UnfitRows(InputError):
    """Rows that a model cannot be asked about, told before it is asked: by a handler's `encode`.

    The other rows of the batch are scored without a search for the culprits.

    Attributes:
        rows: why, by position in the batch.

    Example:
        >>> import batchinfer
        >>> raise batchinfer.UnfitRows({0: "text: got null", 7: "text: longer than 512 tokens"})
        Traceback (most recent call last):
        batchinfer.errors.UnfitRows: text: got null
        text: longer than 512 tokens
    """

    def __init__(self, rows: Mapping[int, str], hint: str | None = None) -> None:
        self.rows = {int(row): str(why) for row, why in rows.items()}
        super().__init__(list(dict.fromkeys(self.rows.values())), hint)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.rows, self.hint)


class ChecksFailed(BatchInferError, ValueError):
    """The predictions broke their expectations; nothing was published."""

    exit_code = 4


class TooManyQuarantined(BatchInferError, ValueError):
    """More rows went to quarantine than `checks.max_quarantine_rate` allows; nothing was landed or
    published.
    """

    exit_code = 5


class SliceHeld(BatchInferError, RuntimeError):
    """Another run holds the lease on this slice."""

    exit_code = 6
    worth_a_retry = True
    says_of_slice = False


class UpstreamAwaited(SliceHeld):
    """A pipeline that this one comes after has not published yet what its night waits for."""


class ModelError(BatchInferError, RuntimeError):
    """A model that is missing, corrupt, untrusted, whose code changed, or whose signature does not
    fit.
    """

    exit_code = 7


class StorageError(BatchInferError, OSError):
    """Storage that is full or cannot be written, a registry or store that cannot be reached."""

    exit_code = 8
    worth_a_retry = True


class BudgetReached(BatchInferError):
    """What was done has cost as much as it may: nothing more was begun. What was published
    stands.
    """

    exit_code = 9
    says_of_slice = False


class DamagedStore(StorageError):
    """An online store that answers, and is not what was loaded: files or rows are missing, or are
    others than those that were written.
    """


class DamagedPointer(DamagedStore):
    """An online store that answers, and whose pointer cannot be read."""


class DamagedLog(StorageError):
    """A Delta table whose log is damaged or has gaps: no retry reads it."""

    exit_code = 3
    worth_a_retry = False


class TableTooNew(StorageError):
    """A table of ours whose format a newer build has made: only an upgrade reads it."""


# Of a folder that nobody can make, however often it is tried: a file stands there or above it, a
# name is too long, links go in a circle, a file system of the kernel's own.
_NEVER = (
    *(errno.ENOTDIR, errno.EEXIST, errno.EISDIR),
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.ENOENT),
)


def never_a_folder(fact: str, error: OSError, setting: str) -> ConfigError | None:
    """The error of a place where no folder can ever be made; None where waiting may help.

    Args:
        fact: what was tried, and what the system said.
        setting: that names another place, besides BATCHINFER_HOME.
    """
    if error.errno not in _NEVER:
        return None
    return ConfigError(
        f"{fact}; allowed: a place where a folder can be made",
        hint=f"another place: BATCHINFER_HOME, or {setting} in conf/environments",
    )


class Interrupted(KeyboardInterrupt):
    """The run was told to stop. No `Exception`, so that nothing which goes on after an error goes
    on after this.

    Attributes:
        problems, hint, facts: as those of `BatchInferError`.
        exit_code: 130 for SIGINT and 143 for SIGTERM.
    """

    def __init__(self, problem: str, exit_code: int = 130) -> None:
        self.problems: tuple[str, ...] = (problem,)
        self.hint: str | None = None
        self.exit_code = exit_code
        self.facts: dict[str, Any] = {}
        super().__init__(problem)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.problems[0], self.exit_code)


# By signal: SIGINT and SIGTERM.
_INTERRUPTED = (130, 143)
# Each gives a code its meaning; errors that refine one of them have its code.
_KINDS = BatchInferError.__subclasses__()

WORTH_A_RETRY = tuple(sorted({kind.exit_code for kind in _KINDS if kind.worth_a_retry}))
"""Exit codes that may pass by waiting."""

POINTLESS = tuple(sorted({kind.exit_code for kind in _KINDS if not kind.worth_a_retry}))
"""Exit codes that stay as they are until someone has changed something."""

NO_FAULT_OF_SLICE = (
    0,
    *sorted({kind.exit_code for kind in _KINDS if not kind.says_of_slice}),
    *_INTERRUPTED,
)
"""Exit codes of runs that say nothing of the slice they were for."""
