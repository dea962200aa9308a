"""The table of docs/models.md: what models of each format say here and in their own library, called
directly, on the same rows; as Markdown on standard output.

    make models

Each row is a model that is made here, saved, registered, and asked about 2,000 rows with nulls,
rare categories, categories that it has not seen, and ties. `batchinfer.predict` is what `score`
runs.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from boosting.compared_models import ROWS, Case, cases, filled, texts
from registrations import Project

import batchinfer
from batchinfer.pipeline.register import register_model
from batchinfer.pipeline.training.adopted_model import RegisterOptions


def main() -> int:
    """Prints the table."""
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    lines = ["| format | library | model | compared | rows | other label | largest difference |"]
    lines.append("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["BATCHINFER_HOME"] = str(Path(folder) / "var")
        os.chdir(folder)
        project = Project(Path(folder))
        for place, case in enumerate(cases(Path(folder))):
            lines.append(compared(project, f"case{place}", case))
            print(lines[-1], file=sys.stderr)
    print("\n".join(lines))
    return 0


def compared(project: Project, name: str, case: Case) -> str:
    """A line of the table."""
    rows = filled(ROWS) if case.filled else ROWS
    context = project.context(name, *case.overrides, schema=case.schema)
    options = RegisterOptions(dict(case.missing))
    register_model(context, str(case.file), None, options)
    trust = "pickle" if case.overrides else "none"
    found = batchinfer.predict(rows, f"models:/{name}@champion", trust=trust)
    if found["error"].notna().any():
        raise RuntimeError(f"{case.model}: {found['error'].dropna().iloc[0]}")
    labels, numbers = case.home(rows)
    ours = numbers_of(found)
    theirs = np.asarray(numbers, np.float64).reshape(len(rows), -1)
    if ours is None or ours.shape != theirs.shape:
        raise RuntimeError(f"{case.model}: other numbers than at home")
    largest = float(np.abs(ours - theirs).max())
    differ = "" if labels is None else str(int((found["label"] != texts(labels)).sum()))
    what = ("numbers" if labels is None else "label, score") + (
        " of each class" if ours.shape[1] > 1 and labels is not None else ""
    )
    largest_text = "0" if largest == 0 else f"{largest:.1e}"
    return (
        f"| {case.format} | {case.library} | {case.model} | {what} | {len(rows):,} | {differ} | "
        f"{largest_text} |"
    )


def numbers_of(found: pd.DataFrame) -> np.ndarray | None:
    """(rows, width) scores or predictions."""
    if "scores" in found:
        return np.array([list(dict(one).values()) for one in found["scores"]])
    column = found["score"] if "score" in found else found["prediction"]
    return np.array(column.tolist(), np.float64).reshape(len(found), -1)


if __name__ == "__main__":
    raise SystemExit(main())
