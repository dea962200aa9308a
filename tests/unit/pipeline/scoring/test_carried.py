"""Columns of the scored rows that stand beside the predictions: each row has its own, and a slice
that carries others is scored again.
"""

from __future__ import annotations

import pytest
from spark.projects import DAY, SmallProject

from batchinfer.errors import ConfigError, InputError
from batchinfer.pipeline.score import score_slice
from batchinfer.pipeline.scoring.resolved_inputs import resolve_model
from batchinfer.pipeline.slices.table_columns import TableColumns

CARRY = "sink.carry=[id, big]"
NEXT = "2026-11-22"


def published(project: SmallProject, slice_: str) -> dict[int, tuple[str, str]]:
    rows = project.table("predictions").to_pylist()
    return {row["source_line"]: (row["id"], row["big"]) for row in rows if row["slice"] == slice_}


def test_equal_rows_share_a_prediction_and_have_columns_of_their_own(ready: SmallProject) -> None:
    same = "".join(f"{n},red,1.5,{'yes' if n % 3 else ''}\n" for n in range(100, 120))
    ready.write("in/a.csv", "id,color,size,big\n" + same)
    ready.extract(NEXT)
    report = ready.score(NEXT, CARRY)
    assert (report.rows_scored, report.rows_reused) == (1, 19)
    assert published(ready, NEXT) == {
        n - 98: (n, "yes" if n % 3 else None) for n in range(100, 120)
    }
    fields = ready.table("predictions").schema
    assert fields.names[2:7] == ["slice", "score", "label", "id", "big"]


def test_the_values_are_those_of_the_rows_that_were_scored_last(ready: SmallProject) -> None:
    ready.score(DAY, CARRY)
    before = published(ready, DAY)
    text = (ready.root / "in/a.csv").read_text()
    ready.write("in/a.csv", text.replace(",yes\n", ",perhaps\n"))  # no input of the model
    ready.extract(DAY, "source.on_changed=replace")
    ready.score(DAY, CARRY)
    assert published(ready, DAY) == {
        line: (id_, "perhaps" if big == "yes" else big) for line, (id_, big) in before.items()
    }


def test_other_columns_make_a_slice_stale_and_the_table_gets_new_ones_only_when_told(
    ready: SmallProject,
) -> None:
    ready.score()
    context = ready.context(CARRY)
    with pytest.raises(InputError, match="the table has no column"):
        score_slice(context, DAY, ready.open_session)
    assert "big" not in ready.table("predictions").column_names
    evolved = score_slice(context.with_new_run(), DAY, ready.open_session, evolve=True)
    assert evolved.status == "published" and len(published(ready, DAY)) == 40
    assert ready.score(DAY, "sink.carry=[big, id]").status == "unchanged"
    assert ready.states() == {DAY: "stale"}, "the file carries nothing"


@pytest.mark.parametrize(
    ("carry", "said"),
    [
        ("[bigg]", r"sink\.carry.*no such column: got 'bigg' .did you mean big"),
        ("[slice]", r"sink\.carry.*got 'slice', a column that predictions tables have anyway"),
        ("[Model_Name]", r"sink\.carry.*got 'Model_Name', a column that predictions tables have"),
        ("[source_line]", r"sink\.carry.*got 'source_line', a column that predictions tables have"),
        ("[big, big]", r"sink\.carry.*got 'big' twice"),
    ],
)
def test_columns_that_cannot_be_carried_are_refused_with_the_file(
    ready: SmallProject, carry: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        ready.context(f"sink.carry={carry}")


def test_a_name_that_the_model_gives_a_prediction_is_refused(ready: SmallProject) -> None:
    ready.edit("big: string", "Label: string")
    ready.edit("column: big", "column: Label")
    ready.edit("sink: {", "sink: {carry: [Label], ")
    with pytest.raises(ConfigError, match=r"sink\.carry: got Label, which .* as a prediction"):
        resolve_model(TableColumns(ready.context()))
