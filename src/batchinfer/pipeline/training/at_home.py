"""Holds a model's answers here against its own library's, on landed rows, before it is registered.

Owns which rows are asked about twice, and what a difference means. Knows no format.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from batchinfer.errors import BatchInferError, ModelError
from batchinfer.pipeline.training.trial_rows import chosen_rows

if TYPE_CHECKING:
    import pyarrow as pa

    from batchinfer.models.elsewhere.as_fitted import AsFitted
    from batchinfer.models.elsewhere.comparison import Answers, Comparison
    from batchinfer.models.formats.home import Home

_FEW_ROWS, _SLOW_S, _SHOWN = 64, 10.0, 3
_TRIAL_ROWS, _TIES = 2_000, 300


def hold_against_home(
    handler: AsFitted,
    homes: Callable[[], Sequence[Home]],
    rows: pa.RecordBatch | None,
    why_none: str,
    *,
    allow_difference: bool,
) -> tuple[list[Comparison], list[str]]:
    """The comparisons with each home, and sentences about what differs or was not compared.

    Args:
        homes: opens the model's own library, and that of the model that it was converted from.
        rows: landed ones; None: there are none, and `why_none` says why.

    Runs on: driver, without Spark.

    Raises:
        ModelError: it says here something else than at home, or of a row something else where the
            rows stand in another order; and neither was allowed.
    """
    if rows is None:
        said = (
            f"{why_none}, so the model was tried on made-up rows only: what it says here was not "
            "held against its own library"
        )
        return [], [said]
    asked = _narrowed(_ask_here(handler, _affordable(handler, rows)))
    comparisons = [_reordered(handler, asked)]
    comparisons += [_held(handler, asked, home) for home in homes()]
    differ = [one for one in comparisons if not one.equal]
    if differ and not allow_difference:
        raise ModelError(
            [sentence for one in differ for sentence in (one.told(), *one.examples)],
            "a model that says here something else than at home is not registered; "
            "--allow-difference registers it all the same, and its card says so",
        )
    return comparisons[1:], [one.told() for one in differ]


def _affordable(handler: AsFitted, rows: pa.RecordBatch) -> pa.RecordBatch:
    """As many of the rows as can be asked about several times in some seconds."""
    import time

    few = rows.slice(0, _FEW_ROWS)
    # The first answer waits for libraries that are imported, and for caches that are filled.
    _ask_here(handler, few)
    started = time.perf_counter()
    _ask_here(handler, few)
    seconds = time.perf_counter() - started
    most = max(_FEW_ROWS, int(few.num_rows * _SLOW_S / max(seconds, 1e-6)))
    return rows if rows.num_rows <= most else _taken(rows, chosen_rows(rows, most))


@dataclass(frozen=True)
class _Asked:
    """Rows that were asked about here and scored, and what was said of them."""

    rows: pa.RecordBatch
    answers: Answers


def _narrowed(asked: _Asked) -> _Asked:
    """The rows that are asked about again: those nearest to a tie of two classes, and of the others
    as many as belong to them.
    """
    if asked.rows.num_rows <= _TRIAL_ROWS:
        return asked
    margins = asked.answers.margins()
    ties = np.zeros(0, np.int64) if margins is None else np.argsort(margins, kind="stable")[:_TIES]
    rest = chosen_rows(asked.rows, _TRIAL_ROWS - len(ties))
    places = np.union1d(ties, rest)
    return _Asked(_taken(asked.rows, places), asked.answers.taken(places))


def _taken(rows: pa.RecordBatch, places: np.ndarray) -> pa.RecordBatch:
    import pyarrow as pa

    return rows.take(pa.array(places))


def _ask_here(handler: AsFitted, rows: pa.RecordBatch) -> _Asked:
    import pyarrow as pa

    from batchinfer.inference.engine import BatchScorer

    scored: list[Any] = list(BatchScorer(handler, batch_rows=1024).score([rows]))
    failed = [at for part in scored for at in part.failed_at]
    if len(failed) == rows.num_rows:
        why = dict.fromkeys(record.message for part in scored for record in part.failed)
        raise ModelError(
            [
                f"of {rows.num_rows:,} landed rows the model takes none",
                *list(why)[:_SHOWN],
            ]
        )
    columns = {
        name: pa.concat_arrays([part.predictions[name] for part in scored])
        for name in handler.output
    }
    kept = np.delete(np.arange(rows.num_rows), failed)
    return _Asked(_taken(rows, kept), _answers_of(handler, columns))


def _answers_of(handler: AsFitted, columns: Mapping[str, pa.Array]) -> Answers:
    """Prediction columns as labels and numbers, in the order that the model has them."""
    import pyarrow as pa

    from batchinfer.models.elsewhere.as_fitted import AsFittedColumns
    from batchinfer.models.elsewhere.comparison import Answers
    from batchinfer.models.formats.home import frame_answers

    if isinstance(handler, AsFittedColumns):
        return frame_answers(pa.table(dict(columns)).to_pandas())
    labels = columns["label"].to_numpy(zero_copy_only=False) if "label" in columns else None
    if "scores" in columns:
        values = columns["scores"].items.to_numpy(zero_copy_only=False)
        return Answers(labels, values.reshape(len(columns["scores"]), -1))
    column = columns.get("score", columns.get("prediction"))
    return Answers(labels, None if column is None else _matrix(column))


def _matrix(column: pa.Array) -> np.ndarray:
    import pyarrow as pa

    flat = column.flatten() if pa.types.is_list(column.type) else column
    values = flat.to_numpy(zero_copy_only=False).astype(np.float64)
    return values.reshape(len(column), -1)


def _reordered(handler: AsFitted, asked: _Asked) -> Comparison:
    """The same rows in another order: what is said of a row may not hang on the rows beside it."""
    from batchinfer.models.elsewhere.comparison import compare

    order = np.random.default_rng(0).permutation(asked.rows.num_rows)
    again = _ask_here(handler, _taken(asked.rows, order))
    if again.rows.num_rows != len(order):
        raise ModelError(
            f"of {len(order):,} rows that the model took, it refused "
            f"{len(order) - again.rows.num_rows:,} when they stood in another order; allowed: a "
            "model that says the same of a row whatever rows stand beside it"
        )
    back = np.argsort(order)
    return compare(
        asked.answers,
        again.answers.taken(back),
        "itself with the rows in another order",
        1e-5,
        _shown(asked.rows, handler),
    )


def _held(handler: AsFitted, asked: _Asked, home: Home) -> Comparison:
    from batchinfer.models.elsewhere.comparison import compare
    from batchinfer.models.elsewhere.home_inputs import home_inputs

    rows = asked.rows
    inputs = home_inputs(rows, handler, home.names)
    try:
        said = home.ask(inputs)
    except BatchInferError:
        raise
    except Exception as error:  # whatever the library raises
        raise ModelError(
            f"{home.against} fails on {rows.num_rows:,} landed rows of which the bundle takes "
            f"each: {type(error).__name__}: {' '.join(str(error).split())[:500]}"
        ) from error
    shown = _shown(rows, handler)
    ours = asked.answers
    if ours.numbers is not None and said.numbers is not None and _of_positive(handler):
        said = replace(said, numbers=said.numbers[:, [handler.params["positive"]]])
    return compare(ours, said, home.against, home.tolerance, shown)


def _of_positive(handler: AsFitted) -> bool:
    """True where `score` is the probability of one of two classes."""
    return len(handler.params.get("labels", ())) == 2


def _shown(rows: pa.RecordBatch, handler: AsFitted) -> list[str]:
    from batchinfer.inference.failed_rows import row_json

    names = list(handler.columns)[:6]
    return [row_json(row) for row in rows.select(names).to_pylist()]
