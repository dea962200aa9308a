"""What an HTTP API has that has not landed, and how executors stage it.

The driver fetches the pages and keeps them in a spool; from there they take the road of files of
JSON lines, a page a file. How far an API with pages has been read is a mark in the landed table,
which counts for all slices: a record lands once. Without pages, the one answer is held against the
ledger like a file.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from batchinfer.config.schema import schema_fields
from batchinfer.config.source_options import JsonOptions
from batchinfer.config.sources import HttpSource, JsonSource
from batchinfer.errors import ConfigError, InputError, TooManyQuarantined
from batchinfer.lake.ledger import files_of, landed_sizes, mark_of
from batchinfer.lake.table_places import encode_name, local_path
from batchinfer.pipeline.landing.increment import Increment, Landing, NewRecords, StagedRecords
from batchinfer.pipeline.landing.landing_task import LandingPlan, LandingResult
from batchinfer.sources.listing import SourceFile

if TYPE_CHECKING:
    from batchinfer.sources.http.client import Client
    from batchinfer.sources.http.fetch import PageMark
    from batchinfer.sources.http.page_spool import PageSpool, SpooledPage
    from batchinfer.sources.listing import SourceFile
    from batchinfer.sources.source_splits import SourceSplit
    from batchinfer.spark.session import OpenSession


def find_new_pages(landing: Landing, open_session: OpenSession) -> Increment | None:
    """The records that an API has behind those that have landed; None: there are none.

    Runs on: driver; executors only where keys are to be added.

    Raises:
        ConfigError: the token's variable is not set; a staging place that is no folder.
        InputError: an API that refuses, answers with something else than JSON, or changed what has
            landed.
        StorageError: a server that does not answer; the pages so far are kept for the next extract.
    """
    from batchinfer.sources.http.client import Client

    source = _http(landing)
    folder = _spool_folder(landing)
    client = Client(source.options, _token(source.options.auth_env))
    find = _find_in_pages if source.options.pagination else _find_in_answer
    try:
        with client.keep_secret():
            return find(landing, client, folder, open_session)
    finally:
        client.close()


def _http(landing: Landing) -> HttpSource:
    assert isinstance(landing.source, HttpSource)
    return landing.source


def _token(variable: str | None) -> str | None:
    """The bearer token, which no message may hold."""
    if variable is None:
        return None
    token = os.environ.get(variable, "").strip()
    if not token:
        raise ConfigError(
            f"source.auth_env: variable {variable} is not set; allowed: set it to the API's bearer "
            "token"
        )
    if not (token.isascii() and token.isprintable() and " " not in token):
        raise ConfigError(
            f"source.auth_env: variable {variable} holds what no header can carry; allowed: "
            "printable ASCII without spaces"
        )
    return token


def _spool_folder(landing: Landing) -> Path:
    staging = landing.context.environment.staging
    place = local_path(staging)
    if place is None:
        raise ConfigError(
            f"staging: got {staging}; allowed with kind: http: a folder that the driver and all "
            "workers see"
        )
    return place / "http" / Path(landing.table).name / encode_name(landing.scope)


def _find_in_pages(
    landing: Landing, client: Client, folder: Path, open_session: OpenSession
) -> Increment | None:
    from batchinfer.sources.http.fetch import PageMark, check_shape, end_mark, paging_shape

    source = _http(landing)
    name = f"http:{source.options.url}"
    known = mark_of(landing.known, name)
    mark = PageMark.from_text(known) if known is not None else None
    if mark is not None:
        check_shape(source, mark)
    # Once these pages have landed, the mark is another, and what a crash left of them is of no use.
    spool = _open_spool(landing, folder, {"mark": known, "shape": paging_shape(source)})
    notes = _fetch(source, client, spool, mark)
    pages = [page for page in spool.pages if page.file]
    if not pages and mark is not None:
        spool.drop()
        return None
    pages, retried = _after_interruption(landing, pages)
    json = _as_json(landing, spool, pages, open_session)
    records = dataclasses.replace(
        json.records,
        retried=retried,
        marks={name: end_mark(source, spool, mark).to_text()},
        notes=[*notes, *json.records.notes],
    )
    return _increment(spool, dataclasses.replace(json, records=records))


def _after_interruption(
    landing: Landing, pages: Sequence[SpooledPage]
) -> tuple[list[SpooledPage], list[str]]:
    """Pages of which a run quarantined records that ended before the rest landed, if they are
    others by now.

    Returns:
        The pages, and those whose former quarantined records have to go. A page of which a part had
        landed before lands anew,
        because nothing tells the records quarantined then from those quarantined by the run that
        ended.
    """
    from batchinfer.pipeline.landing.new_files import known_files

    names = [page.name for page in pages]
    landed = files_of(landing.known, landing.scope, names)
    quarantined = known_files(landing.context.quarantine, landing.quarantine_scope, names)
    odd = {
        page.name
        for page in pages
        if quarantined.get(page.name) not in (None, landed.get(page.name), page.fingerprint)
    }
    anew = [
        dataclasses.replace(page, until=0, replaced=True)
        if page.until and page.name in odd
        else page
        for page in pages
    ]
    return anew, [page.name for page in pages if not page.until and page.name in odd]


def _open_spool(landing: Landing, folder: Path, facts: Mapping[str, Any]) -> PageSpool:
    from batchinfer.sources.http.page_spool import PageSpool

    source = _http(landing)
    judges = (
        f"{source.model_dump_json(by_alias=True)} "
        f"{landing.context.pipeline.checks.max_quarantine_rate}"
    )
    header = {"url": source.options.url, "on_changed": source.on_changed, **facts}
    return PageSpool(folder, header, judged_by=hashlib.sha256(judges.encode()).hexdigest())


def _fetch(
    source: HttpSource, client: Client, spool: PageSpool, mark: PageMark | None
) -> list[str]:
    """Fetches what the spool lacks; what is to be told of it."""
    from batchinfer.report.terminal import progress
    from batchinfer.sources.http.client import Refused
    from batchinfer.sources.http.fetch import fetch_pages

    found = spool.found
    with progress(
        f"fetching pages of {urlsplit(source.options.url).hostname}", None, "pages"
    ) as advance:
        try:
            fetch_pages(source, client, spool, mark, advance)
        except InputError as error:
            if not found or (isinstance(error, Refused) and error.status in (401, 403)):
                raise
            # The way on that an earlier run was told may have expired, as cursors do.
            spool.drop()
            fetch_pages(source, client, spool, mark, advance)
            return [f"{found} pages that an earlier run had fetched were fetched anew: {error}"]
    return (
        [f"{found} pages are those that an earlier run had fetched before it ended"]
        if found
        else []
    )


@dataclass(frozen=True)
class _Answer:
    """The one answer of an API without pages, as a file: its size is its number of records."""

    path: str
    records: Sequence[bytes]

    @property
    def name(self) -> str:
        return self.path

    @property
    def size(self) -> int:
        return len(self.records)

    def fingerprint(self) -> int:
        from batchinfer.sources.http.answers import digest_records
        from batchinfer.sources.http.page_spool import ledger_fingerprint

        return ledger_fingerprint(digest_records(self.records))

    def grew_from(self, size: int, fingerprint: int) -> bool:
        """Whether these are the records that landed, and more behind them.

        Raises:
            InputError: they are not.
        """
        if (
            size <= self.size
            and _Answer(self.path, self.records[:size]).fingerprint() == fingerprint
        ):
            return True
        raise InputError(
            f"{self.path}: the first {size:,} records of the answer (of {self.size:,}) are not "
            "those that landed; allowed with source.on_changed: append: more records behind them",
            hint="replace lands the answer anew (--set source.on_changed=replace)",
        )


def _find_in_answer(
    landing: Landing, client: Client, folder: Path, open_session: OpenSession
) -> Increment | None:
    """The one answer of an API without pages: new, unchanged, or changed as a file changes."""
    from batchinfer.pipeline.landing.new_files import find_changes
    from batchinfer.sources.http.answers import digest_records, read_body
    from batchinfer.sources.http.page_spool import SpooledPage

    url = _http(landing).options.url
    records = read_body(client.get(url).body, url, _http(landing).options.records_path).records
    changes = find_changes(landing, [_Answer(url, records)])
    if not changes.read:
        return None
    if landing.is_part and changes.read[0].fingerprint() != changes.fingerprints[url]:
        raise InputError(
            f"{url}: the answer changed after it was landed, and other slices have rows of it; "
            "allowed with --force: the answer that landed",
            hint="--set source.on_changed=replace without --slice and --force lands it anew",
        )
    until = (landed_sizes(landing.table, landing.scope, [url])[url] or 0) if changes.grown else 0
    # One request is soon made again: what another run left is never used.
    spool = _open_spool(landing, folder, {"run": landing.context.run_id})
    replaced = bool(changes.replaced)
    spool.add(
        SpooledPage(
            url, None, len(records), digest_records(records), until, replaced, None, None, None
        ),
        records,
    )
    json = _as_json(landing, spool, spool.pages, open_session)
    sizes = {url: len(records)}
    new = dataclasses.replace(json.records, retried=changes.retried, sizes=sizes)
    return _increment(spool, dataclasses.replace(json, records=new))


def _increment(spool: PageSpool, pages: Increment) -> Increment:
    """The pages, which are kept for a next attempt unless they land."""

    @contextmanager
    def staging(plan: LandingPlan, open_session: OpenSession) -> Generator[StagedRecords | None]:
        try:
            with pages.staging(plan, open_session) as staged:
                yield staged and dataclasses.replace(staged, records=pages.records)
        except (InputError, TooManyQuarantined):
            spool.refuse()
            raise
        spool.drop()

    return dataclasses.replace(pages, staging=staging)


def _as_json(
    landing: Landing, spool: PageSpool, pages: Sequence[SpooledPage], open_session: OpenSession
) -> Increment:
    """The spooled pages, which take the road of JSON files."""
    from batchinfer.lake.delta import exists
    from batchinfer.pipeline.landing.file_increment import aligned_splits, stage_splits
    from batchinfer.pipeline.landing.new_keys import find_json_columns
    from batchinfer.pipeline.slices.table_columns import table_fields
    from batchinfer.sources.http.answers import digest_records
    from batchinfer.sources.http.page_spool import ledger_fingerprint
    from batchinfer.sources.readers import plan_source_splits
    from batchinfer.sources.rescued import with_rescued

    url, source = _http(landing).options.url, _as_files(_http(landing), spool.folder)
    declared = schema_fields(source)
    assert declared is not None
    files = _files_of(spool, pages)
    open_workplace = landing.workplace_opener(files, open_session)
    splits: Sequence[SourceSplit] = plan_source_splits(files, source, declared)
    landed = table_fields(landing.table) if exists(landing.table) else {}
    if source.columns.new == "add":
        splits = aligned_splits(splits, open_workplace)
    columns = find_json_columns(source, splits, declared, landed, open_workplace)

    def stage(plan: LandingPlan, open_session: OpenSession) -> Iterable[LandingResult]:
        workplace = landing.workplace_opener(files, open_session)
        return stage_splits(dataclasses.replace(plan, source=source), workplace, splits)

    nothing = {url: ledger_fingerprint(digest_records(()))}
    records = NewRecords(
        fields=with_rescued(source, columns.fields),
        fingerprints={page.name: page.fingerprint for page in pages} or nothing,
        notes=columns.notes,
        replaced=[page.name for page in pages if page.replaced],
        landed_until={page.name: page.until for page in pages if page.until},
    )
    return Increment.of(records, stage)


def _files_of(spool: PageSpool, pages: Sequence[SpooledPage]) -> list[SourceFile]:
    files: list[SourceFile] = []
    for page in pages:
        if page.file and page.size:
            path = spool.folder / page.file
            files.append(SourceFile(str(path), page.name, page.size, path.stat().st_mtime_ns))
    return files


def _as_files(source: HttpSource, folder: Path) -> JsonSource:
    """The source of the spooled pages: one object a line."""
    return JsonSource(
        kind="json",
        path=(str(folder),),
        options=JsonOptions(timestamp_format=source.options.timestamp_format),
        columns=source.columns,
        schema=source.schema_,
        key=source.key,
        slice=source.slice,
        unique=source.unique,
        on_changed=source.on_changed,
    )
