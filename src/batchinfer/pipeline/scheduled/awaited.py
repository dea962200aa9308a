"""Whether the pipelines that a pipeline comes after have published what its night waits for.

Owns what a night waits for: of a pipeline whose slices are ingest dates the slice of the day, of
others the last slice of the night's window, or the latest that has landed once their own night of
that day is over. Reads no file of data; starts no JVM.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from batchinfer.config.project import relative
from batchinfer.errors import UpstreamAwaited
from batchinfer.hinted_commands import Asked
from batchinfer.hints import CommandLine, Hint
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.definition.slice_names import unit_of
from batchinfer.pipeline.definition.upstream_names import upstream_files
from batchinfer.pipeline.scheduled.night_rows import failing_since, newest_nights
from batchinfer.pipeline.scheduled.owed_slices import moment_of, unscored_slices
from batchinfer.pipeline.slices.landed import read_landed
from batchinfer.schedule import night_steps

# Attempts at a night that may have been made since the one that is looked for.
_NIGHTS = 50


@dataclass(frozen=True)
class Upstream:
    """A pipeline that is waited for.

    Attributes:
        pipeline: as `after` names it.
        slice: what it has to have published; None: nothing has landed that it could publish.
        latest: the newest slice that it has published.
        night: the command of its night.
    """

    pipeline: str
    slice: str | None
    published: bool
    latest: str | None
    night: str

    def told(self) -> str:
        """What is waited for, as a sentence's beginning."""
        latest = "it has published none" if self.latest is None else f"its latest is {self.latest}"
        return f"pipeline {self.pipeline} has not published slice {self.slice} yet ({latest})"


def look_upstream(context: Context, day: dt.date) -> list[Upstream]:
    """What the night of a day waits for, and whether it is there, for each pipeline in `after`.

    Runs on: driver, without Spark.

    Raises:
        ConfigError: a pipeline file that cannot be loaded.
    """
    names = context.pipeline.after
    files = upstream_files(context.loaded.file) if names else {}
    env = context.loaded.environment_name
    return [
        _look(name, Context.open(str(files[name]), env), day, _night_of(context, files[name], day))
        for name in names
    ]


def check_upstream(context: Context, day: dt.date) -> None:
    """Whether the night of a day can begin.

    Runs on: driver, without Spark.

    Raises:
        UpstreamAwaited: a pipeline that this one comes after has not published what it waits for.
    """
    missing = [one for one in look_upstream(context, day) if not one.published]
    if not missing:
        return
    since = failing_since(context, UpstreamAwaited.exit_code) or dt.datetime.now(dt.timezone.utc)
    raise UpstreamAwaited(
        [f"{one.told()}; awaited since {since:%Y-%m-%d %H:%M} UTC" for one in missing],
        Hint(
            f"after: {', '.join(context.pipeline.after)} in the pipeline file asks for it; ",
            Hint.joined((one.night for one in missing), ", "),
            " publishes it, and ",
            context.asked.command("nightly", "--slice", day.isoformat()),
            " goes on then",
        ),
    )


def _night_of(context: Context, file: Path, day: dt.date) -> CommandLine:
    """The command of the night of a pipeline in `after`, named as the one that waits is named."""
    by_name = context.asked.pipeline == context.name
    asked = Asked(file.stem if by_name else relative(file), context.loaded.environment_name)
    return asked.command("nightly", "--slice", day.isoformat())


def _look(name: str, upstream: Context, day: dt.date, night: str) -> Upstream:
    landed = read_landed(upstream)
    unscored = unscored_slices(upstream, landed)
    latest = max((each for each in landed if each not in unscored), default=None)
    rule = upstream.pipeline.source.slice
    if rule == "ingest_date":
        wanted = day.isoformat()
        return Upstream(name, wanted, wanted in landed and wanted not in unscored, latest, night)
    if unit_of(rule) is None:
        # No calendar knows such slices: those that landed last.
        newest = max(map(moment_of, landed.values()), default=0)
        wanted = [each for each, one in landed.items() if moment_of(one) == newest]
        lacking = [each for each in wanted if each in unscored]
        return Upstream(name, min(lacking or wanted, default=None), not lacking, latest, night)
    _, score = night_steps(rule.model_dump(), day)
    last = score.options["to"]
    if last not in landed and not _had_night(upstream, day):
        return Upstream(name, last, False, latest, night)
    wanted = max((each for each in landed if each <= last), default=None)
    return Upstream(name, wanted, wanted not in unscored, latest, night)


def _had_night(upstream: Context, day: dt.date) -> bool:
    """Whether a night of the day, or of a later one, has come to a good end."""
    return any(
        night.exit_code == 0 and night.report.get("day", "") >= day.isoformat()
        for night in newest_nights(upstream, _NIGHTS)
    )
