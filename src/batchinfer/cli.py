"""`batchinfer …`: a thin face on the pipeline package. Each command loads what it needs when it
runs.

Owns what each command takes and calls; what commands share is `cli_options`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from batchinfer import __version__, command, stopping
from batchinfer.command import end_command
from batchinfer.command_line.cli_completion import PROGRAM, VARIABLE, completion_command, is_asked
from batchinfer.command_line.cli_evaluate import evaluate_command
from batchinfer.command_line.cli_nightly import nightly_command
from batchinfer.command_line.cli_options import (
    CommandGroup,
    asks_for_json,
    attributes_option,
    env_option,
    pipeline_options,
    register_options,
    slice_option,
)
from batchinfer.command_line.cli_projects import init_command
from batchinfer.command_line.cli_schema import schema_command
from batchinfer.command_line.cli_serving import load_command, predict_command, serve_command
from batchinfer.command_line.cli_setup import setup_command
from batchinfer.command_line.cli_spans import backfill_command, plan_command
from batchinfer.command_line.cli_status import ls_command, status_command
from batchinfer.errors import ConfigError
from batchinfer.hints import CommandLine


@click.group(
    cls=CommandGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, prog_name="batchinfer")
def cli() -> None:
    """Batch inference on Apache Spark: extract, train, score, look up.

    Tables, bars and logs go to stderr; the last line of stdout is one JSON object, on a terminal
    only with --json. Exit codes: 0 done, 2 configuration, 3 input, 4 checks failed, 5 too many bad
    rows, 6 slice held, 7 model, 8 storage (try again), 9 --max-cost, 130/143 interrupted.
    """


cli.add_command(init_command)


def _context(ref: str, env: str, overrides: tuple[str, ...], reads_source: bool = False) -> Any:
    from batchinfer.pipeline.definition.context import Context

    return Context.open(ref, env, overrides, reads_source)


@cli.command("extract")
@pipeline_options
@slice_option("slice_", help="Slice of all rows, where slices are ingest dates.")
@click.option("--force", is_flag=True, help="Land the slice anew in place of what it holds.")
def extract_command(
    ref: str, env: str, overrides: tuple[str, ...], slice_: str | None, force: bool
) -> None:
    """Land what is new in the source; bad records go to the quarantine table."""

    def work() -> Any:
        from batchinfer.api import extract
        from batchinfer.show import show_extract

        return show_extract(extract(ref, slice_, env, overrides, force))

    end_command(work, pipeline=ref, slice=slice_)


@cli.command("train")
@pipeline_options
@slice_option(
    "slices",
    multiple=True,
    help="A slice to learn from; repeat for several. Default: all that landed, of days of landing "
    "one row a key, the newest.",
)
@click.option("--from", "start", help="First slice to learn from.")
@click.option("--to", "end", help="Last slice to learn from.")
@click.option(
    "--alias", default="champion", show_default=True, help="Alias that points at the new version."
)
def train_command(
    ref: str,
    env: str,
    overrides: tuple[str, ...],
    slices: tuple[str, ...],
    start: str | None,
    end: str | None,
    alias: str,
) -> None:
    """Fit the transforms, train the model, register the bundle; land the source first, if it has
    not.
    """

    def work() -> Any:
        from batchinfer.api import train
        from batchinfer.show import show_train

        return show_train(train(ref, slices, alias, env, overrides, start, end))

    end_command(work, pipeline=ref)


@cli.command("register")
@pipeline_options
@register_options
def register_command(
    ref: str, env: str, overrides: tuple[str, ...], artifact: str, alias: str | None,
    missing: dict[str, str], allow_difference: bool, reference: str | None,
) -> None:  # fmt: skip
    """Make a bundle of a model trained elsewhere."""

    def work() -> Any:
        from batchinfer.api import register
        from batchinfer.show import show_register

        return show_register(
            register(ref, artifact, alias, env, overrides, missing, allow_difference, reference)
        )

    end_command(work, pipeline=ref)


@cli.command("models")
@pipeline_options
@click.option("--promote", metavar="VERSION", help="Point the pipeline's alias at this version.")
@click.option("--rollback", is_flag=True, help="Point the alias back at the version before.")
def models_command(
    ref: str, env: str, overrides: tuple[str, ...], promote: str | None, rollback: bool
) -> None:
    """Versions, metrics, aliases."""

    def work() -> Any:
        from batchinfer.pipeline.models import model_versions
        from batchinfer.show import show_models

        return show_models(model_versions(_context(ref, env, overrides), promote, rollback))

    end_command(work, pipeline=ref)


cli.add_command(plan_command)


@cli.command("score")
@pipeline_options
@slice_option("slice_", help="Default: of ingest dates, the newest that has landed.")
@click.option(
    "--force",
    is_flag=True,
    help="Score even if the slice is published from this data by this model.",
)
@click.option("--evolve", is_flag=True, help="Add new prediction and carried columns to the table.")
def score_command(
    ref: str, env: str, overrides: tuple[str, ...], slice_: str | None, force: bool, evolve: bool
) -> None:
    """Score a slice: read, transform, infer, check, publish."""

    def work() -> Any:
        from batchinfer.api import score
        from batchinfer.show import show_run

        return show_run(score(ref, slice_, force, evolve, env, overrides))

    end_command(work, pipeline=ref, slice=slice_)


@cli.command("replay")
@pipeline_options
@slice_option("slice_", required=True)
def replay_command(ref: str, env: str, overrides: tuple[str, ...], slice_: str) -> None:
    """Score the quarantined rows of a published slice again; those that pass now join it."""

    def work() -> Any:
        from batchinfer.api import replay
        from batchinfer.show import show_run

        return show_run(replay(ref, slice_, env, overrides))

    end_command(work, pipeline=ref, slice=slice_)


cli.add_command(backfill_command)
cli.add_command(nightly_command)


cli.add_command(status_command)
cli.add_command(ls_command)


@cli.command("quarantine")
@pipeline_options
@slice_option("slice_", help="One slice alone. Default: all that have records there.")
def quarantine_command(ref: str, env: str, overrides: tuple[str, ...], slice_: str | None) -> None:
    """Quarantined records: how many for each reason, and the first of them. No JVM."""

    def work() -> Any:
        from batchinfer.api_reads import quarantine
        from batchinfer.show import show_quarantine

        return show_quarantine(quarantine(ref, slice_, env, overrides))

    end_command(work, pipeline=ref, slice=slice_)


cli.add_command(evaluate_command)
cli.add_command(load_command)
cli.add_command(serve_command)
cli.add_command(predict_command)


@cli.command("lookup")
@pipeline_options
@click.option(
    "--key",
    "keys",
    multiple=True,
    metavar="COLUMN=VALUE,…",
    help="One key, all its columns; repeat for several.",
)
@click.option("--keys-file", type=click.Path(path_type=Path), help="A file with one key a line.")
@click.option("--as-of", metavar="SLICE", help="The newest prediction not after this slice.")
@click.option("--fallback", is_flag=True, help="Where there is none, or an old one: fallbacks.")
@attributes_option
def lookup_command(
    ref: str,
    env: str,
    overrides: tuple[str, ...],
    keys: tuple[str, ...],
    keys_file: Path | None,
    as_of: str | None,
    fallback: bool,
    attributes: dict[str, str],
) -> None:
    """Look predictions up by key. Exit 3 if any is absent."""
    if attributes and not fallback:
        raise click.UsageError("--attribute goes with --fallback")

    def work() -> Any:
        from batchinfer.pipeline.lookup import answer_lookup
        from batchinfer.show import show_lookup

        asked = attributes if fallback else None
        context = _context(ref, env, overrides)
        return show_lookup(answer_lookup(context, keys, keys_file, as_of, asked))

    end_command(work, pipeline=ref)


@cli.command("report")
@click.option("--run", "run_id", required=True, metavar="RUN_ID")
@click.option("-p", "--pipeline", "ref", metavar="NAME|FILE", help="Of this pipeline's project.")
@env_option
def report_command(run_id: str, ref: str | None, env: str) -> None:
    """Where the HTML report of a run is."""

    def work() -> Any:
        from batchinfer.pipeline.report import find_report
        from batchinfer.show import show_report

        return show_report(find_report(run_id, env, ref))

    end_command(work, run_id=run_id)


@cli.command("doctor")
@env_option
@click.option("-p", "--pipeline", "ref", metavar="NAME|FILE", help="With --deep: whose tables.")
@click.option("--deep", is_flag=True, help="Read and check all files of a pipeline's tables.")
def doctor_command(env: str, ref: str | None, deep: bool) -> None:
    """Check Java, Spark, Delta, MLflow, GPU, disk and write rights; with --deep, files."""
    if deep != (ref is not None):
        raise click.UsageError("-p and --deep go together")

    def work() -> Any:
        if ref is not None:
            from batchinfer.pipeline.damaged_files import look_deep
            from batchinfer.show import show_deep

            return show_deep(look_deep(_context(ref, env, ())))
        from batchinfer.config.loader import load_state
        from batchinfer.pipeline.doctor import run_doctor
        from batchinfer.show import show_doctor

        return show_doctor(run_doctor(*load_state(env)))

    end_command(work)


cli.add_command(completion_command)


cli.add_command(setup_command)


cli.add_command(schema_command)


def main(argv: Sequence[str] | None = None) -> int:
    """Console script, and the body of every job. A usage error ends like every other: exit 2 and
    the JSON line.
    """
    stopping.listen()
    if is_asked():
        # What stands on standard output is read by the shell.
        cli.main([], prog_name=PROGRAM, complete_var=VARIABLE)
    arguments = sys.argv[1:] if argv is None else argv
    with command.stdout_for_the_line(asks_for_json(arguments)):
        try:
            cli.main(argv, prog_name=PROGRAM, standalone_mode=False)
        except click.ClickException as error:
            hint = (
                CommandLine(f"{error.ctx.command_path} --help")
                if isinstance(error, click.UsageError) and error.ctx
                else None
            )
            return command.report_failure(ConfigError(error.format_message(), hint))
        except ConfigError as error:
            return command.report_failure(error)
        except (click.Abort, KeyboardInterrupt):
            return command.report_interrupted()
        # Commands leave by themselves: what comes here has shown help, or the version.
        command.print_line({"version": __version__, "status": "ok", "errors": []})
        return 0


if __name__ == "__main__":
    raise SystemExit(main())
