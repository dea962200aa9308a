"""One command on several pipelines, one after the other: one that fails does not stop the others.

Owns how their results become one. Knows no command.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from batchinfer.credentials import without_credentials
from batchinfer.errors import BatchInferError
from batchinfer.hints import hint_fields
from batchinfer.report.overview import show_overview


class PipelineResults(dict[str, Any]):
    """`{"pipelines": […]}`: what each came to; `exit_code` is the smallest that is not zero."""

    exit_code = 0


def run_each(refs: Sequence[str], work: Callable[[str], Any]) -> Any:
    """The result of `work` for one pipeline; for several `PipelineResults`.

    Args:
        refs: names or files.
        work: gives a report, or a mapping, with an `exit_code` if it is not zero.

    Runs on: driver.
    """
    if len(refs) == 1:
        return work(refs[0])
    found = PipelineResults(pipelines=[])
    for ref in refs:
        body, code = _outcome(ref, work)
        found["pipelines"].append({**body, "exit_code": code})
        found.exit_code = min(found.exit_code or code, code) if code else found.exit_code
    show_overview(found["pipelines"])
    found["status"] = "failed" if found.exit_code else "ok"
    found["exit_code"] = found.exit_code
    found["errors"] = [
        f"{body['pipeline']}: {error}"
        for body in found["pipelines"]
        for error in body.get("errors", ())
    ]
    return found


def _outcome(ref: str, work: Callable[[str], Any]) -> tuple[dict[str, Any], int]:
    from batchinfer.report.terminal import show_error

    try:
        result = work(ref)
    except BatchInferError as error:
        told = error
    except Exception as error:  # noqa: BLE001 - it is told as this pipeline's; the others go on
        sys.stderr.write(without_credentials(traceback.format_exc()))
        told = BatchInferError(f"{type(error).__name__}: {error}")
    else:
        body = result.to_json() if hasattr(result, "to_json") else dict(result)
        return {"pipeline": ref, **body}, int(getattr(result, "exit_code", 0))
    show_error(told)
    body = {**told.facts, "pipeline": ref, "status": "failed", "errors": list(told.problems)}
    return body | hint_fields(told.hint), told.exit_code
