"""`batchinfer load`, `serve` and `predict`: the road out of the tables, and past them.

Owns what the commands take and call.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

from batchinfer.command import end_command
from batchinfer.command_line.cli_options import (
    pipeline_options,
    served_pipelines_options,
    slice_option,
)


class _Seconds(click.FloatRange):
    """Seconds that end: neither inf, nor nan, which no bound refuses."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        seconds = super().convert(value, param, ctx)
        if not math.isfinite(seconds):
            self.fail(f"got {seconds}; allowed: a finite number of seconds", param, ctx)
        return seconds


_STORES = click.Choice(["embedded", "redis", "dynamodb", "postgres"])


@click.command("load")
@pipeline_options
@slice_option("slice_", help="The greatest slice that counts. Default: all.")
@click.option(
    "--to",
    type=_STORES,
    help="One store alone. Default: all that the pipeline file names, else embedded.",
)
@click.option("--full", is_flag=True, help="Write all rows, not only those that have changed.")
@click.option("--verify", is_flag=True, help="Hold the store against the table, row by row.")
@click.option("--rollback", is_flag=True, help="Back to the generation before; loads nothing.")
def load_command(
    ref: str, env: str, overrides: tuple[str, ...], slice_: str | None, to: str | None,
    full: bool, verify: bool, rollback: bool,
) -> None:  # fmt: skip
    """Copy the newest served row of each key into online stores."""

    def work() -> Any:
        from batchinfer.api_reads import load
        from batchinfer.report.shown_answers import show_load

        return show_load(load(ref, slice_, to, full, verify, rollback, env, overrides))

    end_command(work, pipeline=ref, slice=slice_)


@click.command("serve")
@served_pipelines_options
@click.option("--host", default="127.0.0.1", show_default=True, help="Where it listens.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0: a free one."
)
@click.option("--workers", type=click.IntRange(1, 64), default=2, show_default=True)
@click.option(
    "--store", type=_STORES, help="Which store is read. Default: the first of each pipeline."
)
@click.option(
    "--api-keys-file",
    type=click.Path(path_type=Path),
    help="Callers' keys: name:sha256[:pipeline,…] a line. Else BATCHINFER_API_KEYS holds them.",
)
@click.option("--tls-cert", type=click.Path(), help="A certificate, PEM; with --tls-key.")
@click.option("--tls-key", type=click.Path(), help="The certificate's key, PEM.")
@click.option("--behind-proxy", is_flag=True, help="A proxy in front speaks TLS.")
@click.option(
    "--most-keys",
    type=click.IntRange(1),
    default=1_000,
    show_default=True,
    help="Of one :batch; keys or rows of one :predict.",
)
@click.option(
    "--most-body",
    type=click.IntRange(1),
    default=1 << 20,
    show_default=True,
    help="Bytes of a body.",
)
@click.option(
    "--most-url",
    type=click.IntRange(64),
    default=8_192,
    show_default=True,
    help="Bytes of an address.",
)
@click.option(
    "--most-seconds",
    type=_Seconds(0.1),
    default=5.0,
    show_default=True,
    help="Of a request.",
)
@click.option(
    "--most-at-once", type=click.IntRange(1), default=128, show_default=True,
    help="Requests that one worker works on; more are refused with 503.",
)  # fmt: skip
@click.option(
    "--most-connections",
    type=click.IntRange(1),
    default=1_000,
    show_default=True,
    help="Of one worker.",
)
@click.option(
    "--drain", type=_Seconds(0), default=20.0, show_default=True,
    help="Seconds for requests in flight after SIGTERM.",
)  # fmt: skip
@click.option(
    "--most-models", type=click.IntRange(1), default=4, show_default=True,
    help="Models that one worker keeps for :predict; the one asked longest ago goes.",
)  # fmt: skip
@click.option(
    "--warm", is_flag=True,
    help="Load models before requests are taken, not at the first :predict.",
)  # fmt: skip
@click.option("--log-keys", is_flag=True, help="Values of keys stand in the access log, too.")
@click.option("--no-access-log", is_flag=True, help="No line of JSON for each request.")
def serve_command(
    refs: tuple[str, ...], env: str, overrides: tuple[str, ...], host: str, port: int, workers: int,
    store: str | None, api_keys_file: Path | None, tls_cert: str | None, tls_key: str | None,
    behind_proxy: bool, most_keys: int, most_body: int, most_url: int, most_seconds: float,
    most_at_once: int, most_connections: int, drain: float, most_models: int, warm: bool,
    log_keys: bool, no_access_log: bool,
) -> None:  # fmt: skip
    """Serve predictions by key over HTTP, until a signal comes."""

    def work() -> Any:
        from batchinfer.pipeline.serve import serve_pipelines
        from batchinfer.service.served_values import Bounds, Listening

        listening = Listening(host, port, tls_cert, tls_key, behind_proxy)
        bounds = Bounds(
            most_keys, most_body, most_url, most_seconds, most_at_once, most_connections, drain,
            most_models,
        )  # fmt: skip
        serve_pipelines(
            refs, env, overrides, store, listening, bounds, workers, api_keys_file,
            not no_access_log, log_keys, warm,
        )  # fmt: skip

    end_command(work)


@click.command("predict")
@pipeline_options
@click.option(
    "--key",
    "keys",
    multiple=True,
    metavar="COLUMN=VALUE,…",
    help="One key, all its columns: its newest landed row is scored; repeat for several.",
)
@click.option("--row", metavar="JSON", help="A row, or a list of rows, with the model's columns.")
def predict_command(
    ref: str, env: str, overrides: tuple[str, ...], keys: tuple[str, ...], row: str | None
) -> None:
    """Score a row now, in this process. Exit 3 if a key has not landed or a row fails."""
    if bool(keys) == (row is not None):
        raise click.UsageError("got both of --key and --row, or neither; allowed: one of them")

    def work() -> Any:
        from batchinfer.pipeline.answering.predicted_now import predict_keys, predict_rows
        from batchinfer.pipeline.damaged_files import remedies
        from batchinfer.pipeline.definition.context import Context
        from batchinfer.report.shown_answers import show_predicted

        context = Context.open(ref, env, overrides)
        with remedies(context):
            told = predict_keys(context, keys) if row is None else predict_rows(context, row)
        return show_predicted(told)

    end_command(work, pipeline=ref)
