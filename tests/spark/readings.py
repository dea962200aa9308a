"""A project whose rows need each other: readings of sensors, hour by hour, a file a day, with holes
and repeats.
"""

from __future__ import annotations

import datetime as dt
import random
from pathlib import Path
from typing import Any

import pandas as pd
from spark.projects import SmallProject

DAYS = ("2026-01-01", "2026-01-02", "2026-01-03")
READINGS = """\
name: small
source:
  kind: csv
  path: in/*.csv
  schema: {id: int, sensor: string, ts: timestamp, value: double, room: string, power: double}
  key: id
  slice: {column: ts, unit: day}
prepare:
  - deduplicate: {by: id, order: ts}
  - filter: {rule: value < 90 or value is null, name: plausible}
  - forward_fill: {columns: value, by: sensor, order: ts}
  - lag: {columns: [value, power], by: sensor, order: ts, periods: [1, 3]}
  - rolling: {columns: value, by: sensor, order: ts, window: 4,
             statistic: [mean, sum, min, max, std, count, median]}
  - rolling: {columns: power, by: sensor, order: ts, window: 3h, statistic: mean,
             include_current: false}
  - rolling: {columns: power, by: sensor, order: ts, window: 2, statistic: sum,
             include_current: false}
features:
  - impute: {columns: [value, value_lag_1, value_lag_3, power_lag_1, power_mean_3h, value_std_4],
            strategy: mean}
  - standardize: {columns: [value, value_lag_1, value_lag_3, value_mean_4, value_std_4,
                            power_lag_1, power_mean_3h]}
  - one_hot: {columns: room}
train:
  target: {column: power}
  model: mlp_regressor
  params: {hidden: [4], epochs: 2, seed: 1}
model: {uri: "models:/small@champion"}
checks: {max_quarantine_rate: 0.0}
sink: {table: predictions/small}
"""
HEADER = "id,sensor,ts,value,room,power\n"


def readings(day: str, number: int, count: int = 60) -> list[str]:
    """Lines of one day: values and moments that are missing, moments that repeat, ids that repeat,
    values out of bounds.
    """
    draw = random.Random(number)
    lines = []
    for place in range(count):
        # The first ids of each day are those of the others, too: a key is unique in its slice, not
        # in the table.
        id_ = place if place < 5 else number * 1000 + (place if draw.random() > 0.1 else place - 3)
        moment = dt.datetime.fromisoformat(day) + dt.timedelta(minutes=20 * draw.randrange(72))
        sensor = draw.choice(["a", "a", "b", ""])
        value = "" if draw.random() < 0.2 else f"{draw.gauss(50, 25):.3f}"
        power = "" if draw.random() < 0.1 else f"{draw.gauss(5, 2):.3f}"
        room = draw.choice(["x", "y"])
        lines.append(f"{id_},{sensor},{moment.isoformat(sep=' ')},{value},{room},{power}\n")
    return lines


def write_days(project: SmallProject, days: tuple[str, ...] = DAYS) -> None:
    for number, day in enumerate(days, 1):
        project.write(f"in/{day}.csv", HEADER + "".join(readings(day, number)))


def landed_frame(project: SmallProject, upto: str | None = None) -> pd.DataFrame:
    """The landed rows, of slices up to one, in the order that ties are broken in."""
    rows = project.table("landed").to_pandas()
    rows = rows[rows["slice"] <= upto] if upto else rows
    return rows.sort_values(["slice", "source_file", "source_line"]).reset_index(drop=True)


def by_hand(rows: pd.DataFrame) -> pd.DataFrame:
    """What the steps of `READINGS` make of the rows, computed with loops; `removed` is the reason,
    None where a row remains.
    """
    rows = rows.sort_values(
        ["ts", "slice", "source_file", "source_line"], kind="stable"
    ).reset_index(drop=True)
    rows["removed"] = None
    seen: set[Any] = set()
    for place, row in rows.iterrows():
        if (row["slice"], row["id"]) in seen:
            rows.loc[place, "removed"] = "duplicate"
        elif row["value"] >= 90:
            rows.loc[place, "removed"] = "rule:plausible"
        seen.add((row["slice"], row["id"]))
    kept = rows[rows["removed"].isna()]
    parts = [_of_sensor(part.copy()) for _, part in kept.groupby("sensor", dropna=False)]
    return pd.concat([*parts, rows[rows["removed"].notna()]]).sort_values("id")


def _of_sensor(part: pd.DataFrame) -> pd.DataFrame:
    part["value"] = part["value"].ffill()
    for count in (1, 3):
        part[f"value_lag_{count}"] = part["value"].shift(count)
        part[f"power_lag_{count}"] = part["power"].shift(count)
    window = part["value"].rolling(4, min_periods=1)
    part["value_mean_4"], part["value_sum_4"], part["value_std_4"] = (
        window.mean(),
        window.sum(),
        window.std(),
    )
    part["value_min_4"], part["value_max_4"], part["value_median_4"] = (
        window.min(),
        window.max(),
        window.median(),
    )
    part["value_count_4"] = window.count().astype("int64")
    part.loc[part["value_count_4"] == 0, "value_sum_4"] = None
    part["power_sum_2"] = part["power"].shift(1).rolling(2, min_periods=1).sum()
    span = pd.Timedelta(hours=3)
    part["power_mean_3h"] = [
        part["power"][(part["ts"] >= moment - span) & (part["ts"] < moment)].mean()
        for moment in part["ts"]
    ]
    return part


def project_of(root: Path, spark: Any, text: str = READINGS) -> SmallProject:
    project = SmallProject(root, lambda: spark)
    project.write("conf/pipelines/small.yaml", text)
    return project
