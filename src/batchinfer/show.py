"""What people see of a result: small tables on stderr. Each function returns what it was given, for
the JSON line.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from batchinfer.command_reports import (
        EvaluateReport,
        ExtractReport,
        InitReport,
        RegisterReport,
        RunReport,
        TrainReport,
    )
    from batchinfer.pipeline.backfill import BackfillReport
    from batchinfer.pipeline.lookup import LookupAnswer
    from batchinfer.pipeline.ls import PipelineList
    from batchinfer.pipeline.quarantined_records import Example, QuarantineReport

# Of a plan, in bytes.
_BYTES = ("memory_needed", "memory_there")

Body = TypeVar("Body", bound=dict[str, Any])


def _table(title: str, columns: list[str], rows: list[list[Any]]) -> None:
    from batchinfer.report.terminal import show_table

    shown = [[_cell(value, name) for value, name in zip(row, columns, strict=True)] for row in rows]
    show_table(title, columns, shown)


def _facts(title: str, facts: list[list[Any]]) -> None:
    """A table of names and values, each value as its name tells."""
    from batchinfer.report.terminal import show_table

    rows = [[name, _cell(value, name)] for name, value in facts]
    show_table(title, ["what", "value"], rows)


def _cell(value: Any, name: str = "") -> str:
    """A value as people read it; its name tells seconds and bytes."""
    from batchinfer.report.safe_text import bytes_told, duration, money
    from batchinfer.report.terminal import rounded

    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float) and name == "cost":
        return money(value)
    if isinstance(value, int | float) and (name == "seconds" or name.endswith("_s")):
        return duration(value)
    if isinstance(value, int) and (name in _BYTES or name.endswith("bytes")):
        return bytes_told(value)
    if isinstance(value, float):
        return rounded(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, dict) and all(isinstance(one, int | float) for one in value.values()):
        return ", ".join(f"{key} {_cell(one)}" for key, one in value.items()) or "-"
    return json.dumps(value, default=str) if isinstance(value, dict | list) else str(value)


def show_status(body: Body) -> Body:
    """Slices of a pipeline with their state, the newest first."""
    columns = [
        "slice",
        "status",
        "rows_landed",
        "rows_published",
        "model_version",
        "source_version",
        "data_version",
        "scored_at",
    ]
    _table(
        f"{body['pipeline']}: slices",
        columns,
        [[row[name] for name in columns] for row in reversed(body["slices"])],
    )
    attempts = [
        [row["slice"], last["status"], last["exit_code"], last["at"], last["run_id"]]
        for row in reversed(body["slices"])
        if (last := row["last_attempt"])
    ]
    if attempts:
        columns = ["slice", "status", "exit code", "at", "run"]
        _table("last attempts that published nothing", columns, attempts)
    if body.get("warnings"):
        _table("warnings", ["what"], [[text] for text in body["warnings"]])
    _show_state(body["state"])
    if "check" in body:
        _show_check(body)
    return body


def _show_state(state: dict[str, str]) -> None:
    """Where the state is."""
    _table("state", ["what", "where"], [[name, place] for name, place in state.items()])


def _show_check(body: dict[str, Any]) -> None:
    from batchinfer.errors import BatchInferError
    from batchinfer.report.terminal import show_error, show_line

    if body["check"]["ok"]:
        show_line(f"{body['pipeline']}: the predictions are as fresh as they should be")
    else:
        show_error(BatchInferError(body["check"]["problems"], body["hint"]))


def show_pipelines(found: PipelineList) -> PipelineList:
    """A project's pipelines, a row each."""
    columns = ["name", "newest_slice", "status", "schedule", "problem", "file"]
    rows = [[getattr(row, name) for name in columns] for row in found.pipelines]
    _table("pipelines", columns, rows)
    return found


def show_quarantine(report: QuarantineReport) -> QuarantineReport:
    """Reasons, and the first records of each."""
    kinds = [
        [one.slice, one.stage, one.reason, one.records, "yes" if one.published else "no"]
        for one in report.reasons
    ]
    columns = ["slice", "stage", "reason", "records", "others published"]
    _table(f"{report.pipeline}: {report.records:,} records in quarantine", columns, kinds)
    examples = [
        [one.reason, _where(record), record.message, record.raw]
        for one in report.reasons
        for record in one.examples
    ]
    if examples:
        _table("the first of each", ["reason", "record", "message", "as it was read"], examples)
    return report


def _where(record: Example) -> str:
    """The place of a record; the key of one that has none."""
    if record.source_file is None:
        return record.key or "-"
    return f"{record.source_file}:{record.source_line}"


def show_models(body: Body) -> Body:
    """Versions of a model."""
    rows = [
        [row["version"], ", ".join(row["aliases"]), row["created"], row["metrics"]]
        for row in body["versions"]
    ]
    _table(f"model {body['model']}", ["version", "aliases", "created", "metrics"], rows)
    evaluated = [
        [row["version"], told["slices"][-1], told["rows"], told["metrics"], told["at"]]
        for row in body["versions"]
        if (told := row.get("evaluated"))
    ]
    if evaluated:
        columns = ["version", "newest slice", "rows", "metrics", "evaluated"]
        _table("by what came true: the newest evaluate", columns, evaluated)
    if body["history"]:
        columns = ["at", "action", "from", "to", "by"]
        moves = [[move.get(name) or None for name in columns] for move in body["history"]]
        _table(f"alias {body['alias']}", columns, moves)
    outdated = [
        [row["version"], text] for row in body["versions"] for text in row.get("outdated", ())
    ]
    if outdated:
        _table("outdated versions", ["version", "what can be wrong"], outdated)
    if body["warnings"]:
        _table("warnings", ["warning"], [[text] for text in body["warnings"]])
    return body


def show_plan(body: Body) -> Body:
    """The plan, a line each."""
    from batchinfer.report.terminal import show_hint

    hidden = ("problems", "hints", "errors", "warnings", "next")
    _facts(
        f"plan for {body['pipeline']}, slice {body['slice']}",
        [[k, v] for k, v in body.items() if k not in hidden],
    )
    if body.get("warnings"):
        _table("warnings", ["warning"], [[text] for text in body["warnings"]])
    if body["problems"]:
        _table("problems", ["problem"], [[problem] for problem in body["problems"]])
        for hint in body.get("hints", ()):
            show_hint(hint)
    return body


def show_extract(report: ExtractReport) -> ExtractReport:
    """What landed, and what was quarantined and where."""
    facts = (
        "status",
        "rows_in",
        "rows_landed",
        "rows_quarantined",
        "blank_lines",
        "files_read",
        "table",
        "version",
        "seconds",
    )
    rows = [[fact, getattr(report, fact)] for fact in facts]
    if report.rows_quarantined:
        rows.append(["quarantine", report.quarantine])
    _facts(
        f"{report.pipeline}: extract",
        [*rows, *(["warning", text] for text in report.warnings)],
    )
    return report


def show_init(report: InitReport) -> InitReport:
    """What was made, what is to be known of the data, and the next commands in the last line."""
    from batchinfer.report.terminal import show_line

    rows = [["made", text] for text in report.created] or [["made", "nothing: all is there"]]
    if report.file is not None:
        more = "" if report.is_whole else "; there are more"
        rows.append(["records read", f"{report.records_read:,}{more}"])
    rows += [["note", text] for text in report.notes]
    _table(f"{report.pipeline or 'project'}: init", ["what", "value"], rows)
    if sys.stderr.isatty():
        show_line("next:")
        for command in report.next:
            show_line(f"  {command}")
    else:
        show_line(f"next: {' && '.join(report.next)}")
    return report


def show_train(report: TrainReport) -> TrainReport:
    """The model version and how good it is."""
    facts = (
        "model_name",
        "model_version",
        "alias",
        "rows_train",
        "rows_validation",
        "rows_without_label",
        "metrics",
        "measured_against",
        "seconds",
    )
    rows = [[fact, getattr(report, fact)] for fact in facts]
    if report.rows_superseded:
        told = f"{report.rows_superseded:,} older copies of rows: a newer slice has their keys"
        rows.append(["left out", told])
    if report.rows_unfit:
        rows.append(["left out", f"{report.rows_unfit:,} rows that an expression fails on"])
    _facts(
        f"{report.pipeline}: train",
        [*rows, *(["warning", text] for text in report.warnings)],
    )
    return report


def show_register(report: RegisterReport) -> RegisterReport:
    """The model version, what it takes and what it gives."""
    facts = (
        "model_name",
        "model_version",
        "alias",
        "in_use",
        "format",
        "trust",
        "artifact",
        "inputs",
        "outputs",
        "transforms_from",
    )
    rows = [[fact, getattr(report, fact) or None] for fact in facts]
    rows[facts.index("in_use")][1] = "yes" if report.in_use else "no"
    _facts(
        f"{report.pipeline}: register",
        [*rows, *(["warning", text] for text in report.warnings)],
    )
    return report


def show_run(report: RunReport) -> RunReport:
    """One scored slice: rows, model, time."""
    facts = {**report.headline(), "explanation": report.explanation, "report": report.report}
    if report.cost is None:
        del facts["cost"]
    _facts(
        f"{report.pipeline}, slice {report.slice}",
        [*([*fact] for fact in facts.items()), *(["warning", text] for text in report.warnings)],
    )
    return report


def show_backfill(report: BackfillReport) -> BackfillReport:
    """Slices of a backfill with what became of each."""
    from batchinfer.errors import BatchInferError
    from batchinfer.report.terminal import show_error

    columns = [
        "slice",
        "status",
        "rows_in",
        "rows_scored",
        "rows_reused",
        "rows_quarantined",
        "version",
        "seconds",
        *(["cost"] if report.cost is not None else []),
    ]
    rows = [[row.get(name) for name in columns] for row in report.slices]
    rows += [[name, "no_data", *[None] * (len(columns) - 2)] for name in report.no_data]
    rows += [[name, "left", *[None] * (len(columns) - 2)] for name in report.left]
    _table(f"backfill of {report.pipeline}", columns, sorted(rows, key=lambda row: row[0]))
    if report.warnings:
        _table("warnings", ["warning"], [[text] for text in report.warnings])
    if report.left:
        show_error(BatchInferError(report.errors[-1], report.hint))
    return report


def show_evaluation(report: EvaluateReport) -> EvaluateReport:
    """Counts, metrics of all rows, and those of each model version."""
    named = ("predicted", "with_outcome", "without_outcome", "quarantined")
    rows: list[list[Any]] = [["slices", f"{report.slices[0]} to {report.slices[-1]}"]]
    rows += [[f"rows_{name}", getattr(report, f"rows_{name}")] for name in named]
    rows.append(["outcomes_without_prediction", report.outcomes_without_prediction])
    rows += [["metrics", report.metrics], ["measured_against", report.measured_against]]
    rows += [["outcomes", report.outcomes], ["seconds", report.seconds]]
    _facts(
        f"{report.pipeline}: evaluate",
        [*rows, *(["warning", text] for text in report.warnings)],
    )
    columns = ["model_version", "rows_predicted", "rows_with_outcome", "metrics"]
    if len(report.models) > 1:
        models = [[getattr(one, name) for name in columns] for one in report.models]
        _table("by model version", columns, models)
    return report


def show_lookup(body: LookupAnswer) -> LookupAnswer:
    """Predictions that were found, a row each, and the keys that have none."""
    from batchinfer.report.terminal import show_hint

    results = body.get("results", [body])
    if absent := body.get("errors"):
        _table("absent", ["what"], [[text] for text in absent])
    if body.hint is not None:
        show_hint(body.hint)
    found = [result["prediction"] for result in results if result["found"]]
    if len(found) == 1:
        _table(
            "prediction", ["column", "value"], [[name, value] for name, value in found[0].items()]
        )
    elif found:
        hidden = {"bundle_digest", "input_fingerprint", "source_table"}
        columns = [name for name in found[0] if name not in hidden]
        _table("predictions", columns, [[row[name] for name in columns] for row in found])
    return body


def show_report(body: Body) -> Body:
    """A recorded run, a fact a line; what is a list or a mapping stands in the page."""
    facts = [[name, value] for name, value in body.items() if not isinstance(value, dict | list)]
    _facts(f"run {body.get('run_id', '')}", facts)
    return body


def show_deep(report: Any) -> Any:
    """Damaged files of a pipeline's tables, each with what is wrong and what to do."""
    rows = [[each.file, each.problem, each.hint] for each in report.damaged]
    size = _cell(report.bytes, "bytes")
    _table(
        f"{report.files:,} files, {size}, {report.without_checksums:,} without "
        f"checksums, {len(report.damaged):,} damaged",
        ["file", "what is wrong", "hint"],
        rows,
    )
    return report


def show_doctor(report: Any) -> Any:
    """Checks of the machine, each with a hint where it failed."""
    body = report.to_json()
    rows = [
        ["ok" if check["ok"] else "WRONG", check["name"], check["detail"], check["hint"] or ""]
        for check in body["checks"]
    ]
    _table("doctor", ["", "check", "found", "hint"], rows)
    _show_state(body["state"])
    return report
