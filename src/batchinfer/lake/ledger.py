"""What a landed table holds already: source files and slices, as application transactions of its
own snapshot.

The entries are committed with the rows they speak of, and stand in every checkpoint, so neither a
crash nor log clean-up can part them from the rows. Owns the ids; their versions are plain values
here, never compared by order. Must not know how files are read.

App ids: `file:<scope>:<name>` with the file's fingerprint, `size:<scope>:<name>` with its bytes,
`slice:<slice>` with the Delta version of the commit that last changed the slice,
`mark:<name>:<number>` with a piece of a text: how far a database or an API has been read, or by
which rule slices were cut (`slice_rule`). In a
predictions table also `publish:<pipeline>:<slice>` with the version of the commit by which a
pipeline published it, `rows:<slice>` with what its pipeline removed rows by, `precision:<slice>`
with what its model computed in, `run:<slice>` with the run that published it last, `before:<slice>`
with the run whose quarantined rows a replay scored, and `mixed:<slice>` with a replay that left
rows of several models; what the rows were made of stands under `data:<slice>`, `model:<slice>`,
`scored:<slice>` and two texts (`MadeOf`). In a quarantine table `run:<slice>` is the run whose
publication the records belong to.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote

from batchinfer.errors import InputError
from batchinfer.lake import log

_SIZE = "size:"
_SLICE = "slice:"
_ROWS = "rows:"
_PRECISION = "precision:"
# What a model may compute in; the ledger knows them by their place, so new ones come last.
_PRECISIONS = ("float32", "bf16", "fp16", "int8")
_RUN = "run:"
_BEFORE = "before:"
_PUBLISH = "publish:"
_MIXED = "mixed:"
_DATA = "data:"
_MODEL = "model:"
_SCORED = "scored:"
# Names of texts, each before a slice.
_RUN_ID = "run_id:"
_MODEL_VERSION = "model_version:"
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MARK = "mark:"
# Bytes of text that fit into a version of 63 bits.
_PIECE_BYTES = 7
_MARK_BYTES = 8192
# No colon: no text of a slice can give this id.
_NULL_SLICE = "slice"


def file_id(scope: str, name: str) -> str:
    """App id of a source file.

    Args:
        scope: what the file was landed for, such as a slice; the same name may stand in several
            scopes.
        name: of the source file, as in the column `source_file`.
    """
    # The scope ends at the second colon, whatever it holds itself.
    return f"file:{quote(scope, safe=' /@+=,;!$()~')}:{name}"


def size_id(scope: str, name: str) -> str:
    """App id of a source file's size; see `file_id`."""
    return _SIZE + file_id(scope, name).removeprefix("file:")


def slice_id(slice_: str | None) -> str:
    """App id of a slice; its version is the Delta version of the commit that last changed the
    slice.
    """
    return _NULL_SLICE if slice_ is None else _SLICE + slice_


def rows_id(slice_: str) -> str:
    """App id of a published slice; its version says which steps removed rows before it was scored,
    and is 0 for none.
    """
    return _ROWS + slice_


def precision_transactions(slice_: str, precision: str) -> dict[str, int]:
    """The transactions that record what the model of a published slice computed in."""
    return {_PRECISION + slice_: _PRECISIONS.index(precision)}


def precision_of(known: Mapping[str, int], slice_: str) -> str:
    """What the model of a published slice computed in, by a table's transactions; float32 where
    nothing was recorded.
    """
    return _PRECISIONS[known.get(_PRECISION + slice_, 0)]


@dataclass(frozen=True)
class Publisher:
    """Which run published a slice last, as numbers of the ledger; 0: not recorded.

    Attributes:
        run: the run.
        before: if it was a replay, the run whose quarantined rows it scored.
        mixed: it left rows of several models.
    """

    run: int = 0
    before: int | None = None
    mixed: bool = False


def run_number(run_id: str) -> int:
    """A run as a transaction version can hold it."""
    return fingerprint63(hashlib.sha256(run_id.encode()).digest())


def run_transactions(slice_: str, run: int) -> dict[str, int]:
    """The transactions that record the run which published a slice, or which the records of a
    quarantine belong to.
    """
    return {_RUN + slice_: run}


def replay_transactions(slice_: str, publisher: Publisher) -> dict[str, int]:
    """The transactions that record, besides `run_transactions`, that a replay has published a
    slice.
    """
    before = {_BEFORE + slice_: publisher.before or 0}
    return before | ({_MIXED + slice_: publisher.run} if publisher.mixed else {})


def publish_transactions(pipeline: str, slice_: str, version: int) -> dict[str, int]:
    """The transactions that record that a pipeline published a slice by the commit of this
    version.
    """
    return {slice_id(slice_): version, f"{_PUBLISH}{pipeline}:{slice_}": version}


def owners_of(known: Mapping[str, int]) -> dict[str, str]:
    """The pipeline that published each slice last, by a table's transactions; slices of which it
    was not recorded are left out.
    """
    owners: dict[str, str] = {}
    for app_id, version in known.items():
        if not app_id.startswith(_PUBLISH):
            continue
        # A pipeline's name has no colon; a slice may.
        pipeline, _, slice_ = app_id[len(_PUBLISH) :].partition(":")
        if known.get(slice_id(slice_)) == version:
            owners[slice_] = pipeline
    return owners


def publisher_of(known: Mapping[str, int], slice_: str) -> Publisher:
    """Which run published a slice last, by a table's transactions."""
    run = known.get(_RUN + slice_, 0)
    return Publisher(
        run, known.get(_BEFORE + slice_), run != 0 and known.get(_MIXED + slice_) == run
    )


@dataclass(frozen=True)
class MadeOf:
    """What the rows of a published slice were made of.

    Attributes:
        data_version: Delta version of the table that the rows were read from.
        model: the bundle, as `model_number` tells it.
        model_version: in the registry.
        run_id: of the run that published the slice.
        scored_at: when that run began to score; UTC, microseconds.
    """

    data_version: int
    model: int
    model_version: str
    run_id: str
    scored_at: dt.datetime

    def transactions(self, slice_: str) -> dict[str, int]:
        """The transactions that record it, beside `run_transactions` of the same run."""
        return {
            _DATA + slice_: self.data_version,
            _MODEL + slice_: self.model,
            _SCORED + slice_: (self.scored_at - _EPOCH) // dt.timedelta(microseconds=1),
            **mark_transactions(
                {_RUN_ID + slice_: self.run_id, _MODEL_VERSION + slice_: self.model_version}
            ),
        }


def made_of(known: Mapping[str, int], slice_: str) -> MadeOf | None:
    """What a published slice was made of, by a table's transactions; None where the run that
    published it last, of an earlier build, has not recorded it.
    """
    run_id = mark_of(known, _RUN_ID + slice_)
    if run_id is None or run_number(run_id) != publisher_of(known, slice_).run:
        return None
    return MadeOf(
        known[_DATA + slice_],
        known[_MODEL + slice_],
        mark_of(known, _MODEL_VERSION + slice_) or "",
        run_id,
        _EPOCH + dt.timedelta(microseconds=known[_SCORED + slice_]),
    )


def model_number(digest: str) -> int:
    """A bundle, by the digest of its manifest, as a transaction version can hold it."""
    return fingerprint63(hashlib.sha256(digest.encode()).digest())


def fingerprint63(digest: bytes) -> int:
    """The first 63 bits of a digest, as a transaction version can hold them.

    Raises:
        InputError: fewer than 8 bytes.
    """
    if len(digest) < 8:
        raise InputError(f"a digest of {len(digest)} bytes; allowed: 8 or more")
    return int.from_bytes(digest[:8], "big") >> 1


def file_transactions(scope: str, fingerprints: Mapping[str, int]) -> dict[str, int]:
    """The transactions that record these source files as landed.

    Args:
        fingerprints: source file to its 63-bit fingerprint.

    Raises:
        InputError: a fingerprint below 0, or of more than 63 bits.
    """
    wrong = {name: value for name, value in fingerprints.items() if not 0 <= value < 2**63}
    if wrong:
        raise InputError(f"fingerprints outside 0 to 2**63 - 1: {wrong}")
    return {file_id(scope, name): value for name, value in fingerprints.items()}


def landed_files(uri: str, scope: str, files: Iterable[str]) -> dict[str, int | None]:
    """The fingerprint with which each of these source files was landed last; None: never.

    Runs on: driver

    Raises:
        StorageError: no table, or its log cannot be read.
    """
    return files_of(log.read_transactions(uri), scope, files)


def files_of(known: Mapping[str, int], scope: str, files: Iterable[str]) -> dict[str, int | None]:
    """What `landed_files` tells, by a table's transactions."""
    return {name: known.get(file_id(scope, name)) for name in files}


def scopes_of(known: Mapping[str, int]) -> set[str]:
    """The scopes in which source files have landed, by a table's transactions."""
    start = "file:"
    return {
        unquote(app_id[len(start) :].partition(":")[0])
        for app_id in known
        if app_id.startswith(start)
    }


def files_of_scope(uri: str, scope: str) -> set[str]:
    """The source files that were ever landed in a scope.

    Runs on: driver

    Raises:
        StorageError: no table, or its log cannot be read.
    """
    start = file_id(scope, "")
    return {
        app_id[len(start) :] for app_id in log.read_transactions(uri) if app_id.startswith(start)
    }


def size_transactions(scope: str, sizes: Mapping[str, int]) -> dict[str, int]:
    """The transactions that record how many bytes these source files had when they were landed."""
    return {size_id(scope, name): size for name, size in sizes.items()}


def landed_sizes(uri: str, scope: str, files: Iterable[str]) -> dict[str, int | None]:
    """The bytes that each of these source files had when it was landed last; None: never.

    Runs on: driver

    Raises:
        StorageError: no table, or its log cannot be read.
    """
    known = log.read_transactions(uri)
    return {name: known.get(size_id(scope, name)) for name in files}


def landed_slices(uri: str) -> dict[str | None, int]:
    """Every slice that was ever landed, empty ones too, and the Delta version that last changed it.

    Runs on: driver

    Raises:
        StorageError: no table, or its log cannot be read.
    """
    return slices_of(log.read_transactions(uri))


def slices_of(known: Mapping[str, int]) -> dict[str | None, int]:
    """The slices among a table's transactions, as `landed_slices` tells them."""
    slices: dict[str | None, int] = {
        app_id[len(_SLICE) :]: at for app_id, at in known.items() if app_id.startswith(_SLICE)
    }
    if _NULL_SLICE in known:
        slices[None] = known[_NULL_SLICE]
    return slices


def mark_transactions(marks: Mapping[str, str]) -> dict[str, int]:
    """The transactions that record texts; each replaces the text that its name had before.

    A version holds a number, so a text is cut into pieces of 7 bytes: the ids of one name stay few,
    however often it is set.

    Raises:
        InputError: a text of more than 8 KiB.
    """
    recorded: dict[str, int] = {}
    for name, text in marks.items():
        data = text.encode()
        if len(data) > _MARK_BYTES:
            raise InputError(f"a position of {len(data)} bytes ({name}); allowed: {_MARK_BYTES}")
        recorded[f"{_MARK}{name}:length"] = len(data)
        for number, start in enumerate(range(0, len(data), _PIECE_BYTES)):
            recorded[f"{_MARK}{name}:{number}"] = int.from_bytes(
                data[start : start + _PIECE_BYTES], "big"
            )
    return recorded


def has_marks(known: Mapping[str, int]) -> bool:
    """Whether a text is recorded under any name, by a table's transactions."""
    return any(app_id.startswith(_MARK) for app_id in known)


def read_mark(uri: str, name: str) -> str | None:
    """The text recorded last under a name; None: never.

    Runs on: driver

    Raises:
        StorageError: no table, or its log cannot be read.
    """
    return mark_of(log.read_transactions(uri), name)


def mark_of(known: Mapping[str, int], name: str) -> str | None:
    """The text recorded last under a name, by a table's transactions; None: never."""
    left = known.get(f"{_MARK}{name}:length")
    if left is None:
        return None
    sizes = [min(_PIECE_BYTES, left - start) for start in range(0, left, _PIECE_BYTES)]
    return b"".join(
        known[f"{_MARK}{name}:{number}"].to_bytes(size, "big") for number, size in enumerate(sizes)
    ).decode()
