"""`make demo`: real records become predictions, in one session; each step says the command that
would do the same.
"""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import requests

from batchinfer.command import leave, run_command, stdout_for_the_line
from batchinfer.command_line.cli_options import asks_for_json
from batchinfer.config.pipeline import Pipeline
from batchinfer.errors import ModelError, SetupError
from batchinfer.pipeline.definition.context import Context

if TYPE_CHECKING:
    from batchinfer.models.registry import Registry
    from batchinfer.spark.session import OpenSession

_FIRST_DAY, _LAST_DAY = "2015-05-17", "2015-05-20"


def demo() -> dict[str, Any]:
    """Runs both example pipelines from raw files to lookups; the second time there is nothing to
    score and it says so.
    """
    started = time.perf_counter()
    today = dt.datetime.now(dt.UTC).date().isoformat()
    income, bots = Context.open("income"), Context.open("bot_traffic")
    from batchinfer.api import session_of

    open_session = session_of(income, scores=True)
    _step("start Spark (a scheduled job pays this once)", open_session)
    _income(income, today, open_session)
    _bot_traffic(bots, open_session)
    shown = _show_predictions(income, bots)
    answered = _serve(income, open_session)
    _say_where(income, bots, today)
    return {
        "status": "done",
        "predictions_shown": shown,
        "answered_by_service": answered,
        "seconds": round(time.perf_counter() - started, 1),
    }


def _income(context: Context, slice_: str, open_session: OpenSession) -> None:
    from batchinfer.pipeline.extract import extract_source
    from batchinfer.pipeline.score import score_slice
    from batchinfer.pipeline.train import train_pipeline

    _run(
        f"batchinfer extract -p income --slice {slice_}",
        context,
        lambda own: extract_source(own, slice_, open_session),
    )
    if _has_no_model(context.pipeline, context.registry):
        _run(
            "batchinfer train -p income",
            context,
            lambda own: train_pipeline(own, [], open_session),
        )
    _run(
        f"batchinfer score -p income --slice {slice_}",
        context,
        lambda own: score_slice(own, slice_, open_session),
    )


def _bot_traffic(context: Context, open_session: OpenSession) -> None:
    from batchinfer.pipeline.backfill import backfill_slices
    from batchinfer.pipeline.extract import extract_source
    from batchinfer.pipeline.train import train_pipeline
    from batchinfer.show import show_backfill

    _run(
        "batchinfer extract -p bot_traffic",
        context,
        lambda own: extract_source(own, None, open_session),
    )
    if _has_no_model(context.pipeline, context.registry):
        _run(
            "batchinfer train -p bot_traffic",
            context,
            lambda own: train_pipeline(own, [], open_session),
        )
    command = f"batchinfer backfill -p bot_traffic --from {_FIRST_DAY} --to {_LAST_DAY}"
    report = _step(
        command,
        lambda: backfill_slices(context.with_new_run(), _FIRST_DAY, _LAST_DAY, open_session),
    )
    show_backfill(report)


def _has_no_model(pipeline: Pipeline, registry: Registry) -> bool:
    """True before the first demo; later ones use the model that is there."""
    try:
        ref = registry.resolve(pipeline.model.uri)
    except ModelError:
        return True
    _say(f"\n{ref.uri} is version {ref.version}: nothing to train")
    return False


def _run(command: str, context: Context, work: Callable[[Context], Any]) -> None:
    own = context.with_new_run()
    report = _step(command, lambda: work(own))
    facts = (
        "status",
        "rows_in",
        "rows_landed",
        "rows_scored",
        "rows_reused",
        "rows_quarantined",
        "model_version",
        "metrics",
        "version",
    )
    _say(
        "    "
        + ", ".join(
            f"{fact} {_short(getattr(report, fact))}"
            for fact in facts
            if getattr(report, fact, None) not in (None, "")
        )
    )


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return " ".join(f"{name}={number:.3g}" for name, number in list(value.items())[:4])
    return value


def _step(title: str, work: Callable[[], Any]) -> Any:
    _say(f"\n$ {title}")
    started = time.perf_counter()
    result = work()
    _say(f"    {time.perf_counter() - started:.1f} s")
    return result


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _show_predictions(*contexts: Context) -> int:
    """A few predictions of each pipeline, looked up by key without Spark."""
    from batchinfer.pipeline.lookup import lookup_keys
    from batchinfer.report.terminal import show_table

    keys = {
        "income": [
            {"source_file": "adult_test.csv", "source_line": line} for line in (1, 2, 3, 4, 5)
        ],
        "bot_traffic": [
            {"source_file": "access.log", "source_line": line} for line in (1, 100, 102, 1000, 2000)
        ],
    }
    columns = [
        "source_file",
        "source_line",
        "slice",
        "score",
        "label",
        "model_version",
        "source_version",
        "run_id",
    ]
    shown = 0
    for context in contexts:
        rows = [row for row in lookup_keys(context, keys[context.name]) if row is not None]
        shown += len(rows)
        cells = [
            [f"{row[name]:.4f}" if name == "score" else str(row[name]) for name in columns]
            for row in rows
        ]
        _say("")
        show_table(f"{context.name}: predictions, looked up by key", columns, cells)
    return shown


def _serve(context: Context, open_session: OpenSession) -> bool:
    """Copies the predictions into an online store, and asks a service for one of them by HTTP."""
    from batchinfer.pipeline.load import load_stores

    report = _step(
        f"batchinfer load -p {context.name}",
        lambda: load_stores(context.with_new_run(), open_session),
    )
    _say(f"    status {report.status}, rows {report.rows}, generation {report.generation}")
    command = ["batchinfer", "serve", "-p", context.name, "--port", "0", "--workers", "1"]
    _say(f"\n$ {' '.join(command)}")
    service = subprocess.Popen(
        [sys.executable, "-m", *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        address = _address_of(service)
        key = "source_file=adult_test.csv&source_line=17"
        question = f"{address}/v1/predictions/{context.name}?{key}"
        _say(f"    {address}\n\n$ curl '{question}'")
        answer = requests.get(question, timeout=10).json()
        _say(f"    {json.dumps(answer)}")
        return bool(answer["found"])
    finally:
        service.terminate()
        service.wait()


def _address_of(service: subprocess.Popen[str]) -> str:
    """Where the service says that it answers.

    Raises:
        SetupError: it has ended instead; in its own words.
    """
    assert service.stderr is not None, "it is read from a pipe"
    told: list[str] = []
    for line in service.stderr:
        if line.startswith("serving "):
            return line.split()[-1]
        told.append(line.strip())
    raise SetupError(f"the service has not begun: {'; '.join(told[-3:])}")


def _say_where(income: Context, bots: Context, slice_: str) -> None:
    _say(f"""
Tables (Delta; read them with Spark, deltalake, DuckDB, Polars, pandas):
    {income.landed}
    {income.predictions}
    {bots.predictions}
    {bots.quarantine}   (line 2226 of the log does not parse)
    {income.runs}
Reports: {income.environment.reports}

Try next (.venv/bin is where batchinfer is):
    batchinfer lookup -p income --key 'source_file=adult_test.csv,source_line=17'
    batchinfer serve -p income
    batchinfer status -p bot_traffic
    batchinfer plan -p income --slice {slice_}
    batchinfer models -p income
    ./spark-submit.sh jobs/score.py --pipeline bot_traffic --slice 2015-05-18 --force
    jupyter notebooks are in notebooks/
""")


if __name__ == "__main__":
    with stdout_for_the_line(asks_for_json(sys.argv)):
        leave(run_command(demo))
