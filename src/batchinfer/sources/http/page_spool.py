"""Keeps pages in a folder until they have landed, so that a run that ends in between loses none of
them.

Owns the folder: one file of JSON lines a page, and `journal.jsonl`, which says what each file is. A
page is on the disk before its line is, and a line is only ever added: whatever ends the run, the
journal up to its last whole line is true. (A state file written anew after every page would cost
the square of their number.) Must not know servers, tables or what records mean.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batchinfer.errors import StorageError
from batchinfer.sources.http.pages import Position

_JOURNAL = "journal.jsonl"


@dataclass(frozen=True)
class SpooledPage:
    """A page that has come.

    Attributes:
        name: its URL; `source_file` of its rows.
        position: that it was asked for by.
        records: their number.
        digest: of what they say.
        until: so many of them were landed by former extracts.
        replaced: they all land in place of what landed of this page before.
        follows: position of the next page; None: this was the last.
        rest: where the next extract begins, if this was the last.
        path: of the list of records.
        file: in the folder; None where no record of it is to land.
        size: of the file, bytes.
    """

    name: str
    position: Position
    records: int
    digest: str
    until: int
    replaced: bool
    follows: Position
    rest: Position
    path: str | None
    file: str | None = None
    size: int = 0

    @property
    def fingerprint(self) -> int:
        return ledger_fingerprint(self.digest)


def ledger_fingerprint(digest: str) -> int:
    """The first 63 bits of a digest, as the ledger of landed files can hold them."""
    return int(digest[:16], 16) >> 1


class PageSpool:
    """The pages of one extract.

    Args:
        folder: of its own; made when the first page comes.
        header: what the pages depend on, such as where paging began. Pages kept under another
            header are deleted.
        judged_by: what decides whether records can land. Pages that could not, judged by the same,
            are deleted.

    Attributes:
        pages: in the order in which they came.
        found: number of pages that an earlier run left.
    """

    def __init__(self, folder: Path, header: Mapping[str, Any], judged_by: str) -> None:
        self.folder, self._header, self._judged_by = folder, dict(header), judged_by
        self.pages: list[SpooledPage] = []
        self._ended = False
        if not self._read():
            self.drop()
        self.found = len(self.pages)

    @property
    def complete(self) -> bool:
        """Whether all pages have come."""
        return self._ended or (bool(self.pages) and self.pages[-1].follows is None)

    def add(self, page: SpooledPage, records: Sequence[bytes]) -> None:
        """Keeps a page; with a file if records of it are to land.

        Raises:
            StorageError: the folder cannot be written.
        """
        if page.replaced or page.records > page.until:
            name = f"{len(self.pages) + 1:06}.jsonl"
            content = b"".join(record + b"\n" for record in records)
            self._write_file(name, content)
            page = dataclasses.replace(page, file=name, size=len(content))
        self._write_line({"page": dataclasses.asdict(page)})
        self.pages.append(page)

    def end(self) -> None:
        """Says that no page follows the last one."""
        self._write_line({"end": True})
        self._ended = True

    def refuse(self) -> None:
        """Says that these records cannot land, judged as they were."""
        self._write_line({"refused": self._judged_by})

    def drop(self) -> None:
        """Deletes the folder and forgets its pages."""
        with _faults(self.folder):
            if self.folder.exists():
                shutil.rmtree(self.folder)
        self.pages, self._ended = [], False

    def _read(self) -> bool:
        """Takes up what an earlier run left; False if it is of no use."""
        lines, whole = self._lines()
        if not lines or lines[0].get("header") != self._header:
            return False
        if any(line.get("refused") == self._judged_by for line in lines):
            return False
        self.pages = [SpooledPage(**line["page"]) for line in lines if "page" in line]
        self._ended = any("end" in line for line in lines)
        if not all(self._is_whole(page) for page in self.pages):
            return False
        with _faults(self.folder):
            # What a killed run wrote of one more line.
            os.truncate(self.folder / _JOURNAL, whole)
        return True

    def _lines(self) -> tuple[list[dict[str, Any]], int]:
        """The whole lines of the journal, and their bytes."""
        journal = self.folder / _JOURNAL
        with _faults(self.folder):
            content = journal.read_bytes() if journal.exists() else b""
        whole = content.rfind(b"\n") + 1
        try:
            return [json.loads(line) for line in content[:whole].splitlines()], whole
        except ValueError:
            # Not ours, or damaged by a disk that lost power: the server still has the pages.
            return [], 0

    def _is_whole(self, page: SpooledPage) -> bool:
        file = self.folder / page.file if page.file else None
        return file is None or (file.is_file() and file.stat().st_size == page.size)

    def _write_file(self, name: str, content: bytes) -> None:
        with _faults(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            part = self.folder / f"{name}.part"
            with part.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.rename(self.folder / name)

    def _write_line(self, line: Mapping[str, Any]) -> None:
        with _faults(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            journal = self.folder / _JOURNAL
            lines = [line] if journal.exists() else [{"header": self._header}, line]
            with journal.open("ab") as file:
                file.write(b"".join(json.dumps(each).encode() + b"\n" for each in lines))
                file.flush()
                os.fsync(file.fileno())


@contextmanager
def _faults(folder: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"{folder}: pages cannot be kept: {error.strerror or error}") from error
