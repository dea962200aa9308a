"""Property: a slice is stale when its data or its model changed, or rows of several models stand in
it; and never because of what single rows of it say.
"""

from __future__ import annotations

import datetime as dt
import shutil
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spark.projects import DAY, SmallProject

from batchinfer import predictions_table
from batchinfer.command_reports import RunReport
from batchinfer.contracts import SLICE, StagedFile
from batchinfer.lake.staging import StagedWriter
from batchinfer.pipeline.scoring import commits
from batchinfer.pipeline.scoring.published import Published, read_published
from batchinfer.pipeline.scoring.resolved_inputs import ResolvedInputs, resolve_inputs
from batchinfer.pipeline.slices.slice_data import LandedSlice
from batchinfer.pipeline.slices.table_columns import TableColumns

MODELS = ("a", "b")
ROWS = st.lists(st.tuples(st.sampled_from(MODELS), st.integers(0, 9)), max_size=3)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("score"), ROWS),
        st.tuples(st.just("replay"), ROWS.filter(bool)),
        st.tuples(st.just("data"), st.none()),
        st.tuples(st.just("model"), st.sampled_from(MODELS)),
    ),
    min_size=1,
    max_size=7,
)


@dataclass
class Lake:
    """A slice of predictions, and what is true of it."""

    resolved: ResolvedInputs
    data: int = 1
    model: str = "a"
    of_data: int | None = None
    of_model: str | None = None
    mixed: bool = False
    rows: int = 0

    @cached_property
    def table(self) -> str:
        return self.resolved.columns.context.predictions

    def published(self) -> Published | None:
        return read_published(self.resolved.columns.context, DAY).get(DAY)

    def inputs(self) -> ResolvedInputs:
        """As the next run resolves them."""
        given = self.resolved
        context = given.columns.context.with_new_run()
        ref = replace(given.model.ref, digest=self.model, version=f"of {self.model}")
        report = RunReport(
            context.run_id, context.name, "published", slice=DAY, precision="float32"
        )
        return replace(
            given,
            columns=TableColumns(context),
            data=replace(given.data, version=self.data),
            model=replace(given.model, ref=ref),
            report=report,
            scored_at=dt.datetime.now(dt.timezone.utc),
        )

    def staged(self, rows: list[tuple[str, int]]) -> list[StagedFile]:
        """Rows of which each may say that it is of another model, data and run."""
        columns = self.resolved.columns
        fields = {name: columns.landed[name] for name in columns.key}
        whole = predictions_table.predictions_schema(fields, {"score": pa.float64()})
        schema = whole.remove(whole.get_field_index(SLICE))
        writer = StagedWriter(self.table, schema, (SLICE,), ())
        with writer:
            for number, (model, version) in enumerate(rows):
                row: dict[str, Any] = dict.fromkeys(schema.names) | {
                    "source_file": "a.csv", "source_line": self.rows + number, "score": 0.5,
                    "model_name": "m", "model_version": model, "bundle_digest": model,
                    "source_version": version, "run_id": f"adopted-{version}",
                    "scored_at": dt.datetime(2020, 1, 1, tzinfo=dt.timezone.utc),
                }  # fmt: skip
                writer.write(pa.RecordBatch.from_pylist([row], schema), {SLICE: DAY})
            return writer.close()

    def score(self, rows: list[tuple[str, int]]) -> None:
        inputs = self.inputs()
        if self.published() is None:
            model = replace(inputs.model, signature={"inputs": [], "outputs": OUTPUTS})
            commits.ensure_predictions(inputs.columns, model, DAY, evolve=False)
        commits.commit_slice(inputs, self.staged(rows), None)
        self.of_data, self.of_model, self.mixed = self.data, self.model, False
        self.rows = len(rows)

    def replay(self, rows: list[tuple[str, int]]) -> None:
        """As `replay` does: only rows of the slice's own data join it."""
        published = self.published()
        if published is None or self.of_data != self.data:
            return
        inputs = self.inputs()
        mixed = not published.is_by(self.model) or published.publisher.mixed
        commits.commit_joining(inputs, self.staged(rows), published, mixed)
        self.mixed = self.mixed or self.of_model != self.model
        self.of_model = self.model
        self.rows += len(rows)

    def is_stale(self) -> bool:
        return (self.of_data, self.of_model) != (self.data, self.model) or self.mixed


OUTPUTS = [{"name": "score", "type": "double"}]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS)
def test_what_rows_say_of_themselves_never_makes_a_slice_stale(
    ready: SmallProject, steps: list[tuple[str, Any]]
) -> None:
    lake = Lake(resolve_inputs(ready.context(), DAY))
    shutil.rmtree(lake.table, ignore_errors=True)
    for step, value in steps:
        if step == "data":
            lake.data += 1
        elif step == "model":
            lake.model = value
        else:
            getattr(lake, step)(value)
        published = lake.published()
        if published is None:
            assert lake.of_data is None
            continue
        landed = LandedSlice(lake.rows, lake.data)
        assert published.is_stale(landed, lake.model) == lake.is_stale()
        assert published.rows == lake.rows
        assert published.made_of is not None
        assert published.made_of.data_version == lake.of_data
        assert published.made_of.model_version == f"of {lake.of_model}"
