"""What the transforms benchmark works on: Adult's rows with noise, and the same steps as others
write them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import DataFrame

_NUMBERS = ("age", "fnlwgt", "education_num", "capital_gain", "capital_loss", "hours_per_week")
_NAMES = [
    "age",
    "workclass",
    "fnlwgt",
    "education",
    "education_num",
    "marital_status",
    "occupation",
    "relationship",
    "race",
    "sex",
    "capital_gain",
    "capital_loss",
    "hours_per_week",
    "native_country",
    "income",
]
ADULT_TYPES: dict[str, pa.DataType] = {
    name: pa.int32() if name in _NUMBERS else pa.string() for name in _NAMES[:-1]
}
_IMPUTED = ["workclass", "occupation", "native_country"]
_CATEGORIES = [
    "workclass",
    "marital_status",
    "occupation",
    "relationship",
    "race",
    "sex",
    "native_country",
]
_SCALED = ["age", "education_num", "hours_per_week", "capital_gain", "capital_loss"]
_MEDIANS = ["age", "fnlwgt", "education_num"]

# As in conf/pipelines/income.yaml.
INCOME_STEPS: list[dict[str, Any]] = [
    {"impute": {"columns": _IMPUTED, "strategy": "most_frequent"}},
    {"clip": {"columns": ["capital_gain", "capital_loss"], "upper_quantile": 0.99}},
    {"standardize": {"columns": _SCALED}},
    {"one_hot": {"columns": _CATEGORIES}},
    {"cross": {"columns": ["education", "occupation"], "buckets": 128}},
]
# Text of the expression, the same for DuckDB where its words differ, and for pandas.
DERIVED: dict[str, tuple[str, str, Callable[[pd.DataFrame], Any]]] = {
    "a ratio that may divide by zero": (
        "capital_gain / nullif(hours_per_week, 0)",
        "capital_gain / nullif(hours_per_week, 0)",
        lambda rows: (
            rows["capital_gain"] / rows["hours_per_week"].where(rows["hours_per_week"] != 0)
        ),
    ),
    "brackets by case": (
        "case when age < 25 then 'young' when age < 60 then 'middle' else 'old' end",
        "case when age < 25 then 'young' when age < 60 then 'middle' else 'old' end",
        lambda rows: np.select(
            [rows["age"] < 25, rows["age"] < 60], ["young", "middle"], default="old"
        ),
    ),
    "text put together": (
        "concat(lower(workclass), '-', substring(education, 1, 3))",
        "lower(workclass) || '-' || substring(education, 1, 3)",
        lambda rows: rows["workclass"].str.lower() + "-" + rows["education"].str.slice(0, 3),
    ),
    "a logarithm and a rounding": (
        "round(log(capital_gain + 1), 2)",
        "round(ln(capital_gain + 1), 2)",
        lambda rows: np.log(rows["capital_gain"] + 1).round(2),
    ),
}
# What pyspark.ml has a counterpart for.
FIT_STEPS: list[dict[str, Any]] = [
    {"impute": {"columns": _MEDIANS, "strategy": "median"}},
    {"impute": {"columns": _IMPUTED, "strategy": "most_frequent"}},
    {"bucketize": {"columns": "hours_per_week", "quantiles": 10}},
    {"one_hot": {"columns": _CATEGORIES}},
    {"standardize": {"columns": _MEDIANS}},
]


def adult_rows(rows: int, seed: int = 5) -> pa.Table:
    """Rows of Adult drawn at random; numbers moved a little, one value in fifty missing."""
    file = Path(__file__).parents[1] / "examples/data/adult/adult_train.csv"
    options = pyarrow.csv.ConvertOptions(
        null_values=["?"], strings_can_be_null=True, column_types=ADULT_TYPES
    )
    data = file.read_text().replace(", ", ",").encode()
    table = pyarrow.csv.read_csv(
        pa.BufferReader(data),
        read_options=pyarrow.csv.ReadOptions(column_names=_NAMES),
        convert_options=options,
    )
    random = np.random.default_rng(seed)
    places = pa.array(random.integers(0, table.num_rows, rows))
    columns: dict[str, pa.Array] = {}
    for name, type_ in ADULT_TYPES.items():
        column = table.column(name).take(places).combine_chunks()
        gaps = random.random(rows) < 0.02
        if name in _NUMBERS:
            values = column.to_numpy(zero_copy_only=False)
            noise = (
                random.integers(-3, 4, rows) * (values != 0) * max(1, int(np.median(values) // 50))
            )
            columns[name] = pa.array(
                np.maximum(values + noise, 0).astype(np.int32), type_, mask=gaps
            )
        else:
            columns[name] = pa.array(
                column.to_numpy(zero_copy_only=False),
                type_,
                mask=gaps | column.is_null().to_numpy(zero_copy_only=False),
            )
    return pa.table(columns)


def scikit_learn(frame: pd.DataFrame, cross: bool) -> Any:
    """INCOME_STEPS as a ColumnTransformer, fitted; float32 wherever it offers that."""
    from sklearn.compose import ColumnTransformer
    from sklearn.feature_extraction import FeatureHasher
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

    upper = frame[["capital_gain", "capital_loss"]].quantile(0.99).to_numpy()

    def clipped(values: pd.DataFrame) -> Any:
        return np.minimum(values.to_numpy(dtype=np.float64), upper)

    def joined(values: pd.DataFrame) -> Any:
        return [
            [text]
            for text in (values["education"].astype(str) + "|" + values["occupation"].astype(str))
        ]

    def one_hot() -> Any:
        return OneHotEncoder(handle_unknown="ignore", sparse_output=False, dtype=np.float32)

    parts: list[Any] = [
        ("scaled", make_pipeline(StandardScaler(), _zero_for_missing()), _SCALED[:3]),
        (
            "clipped",
            make_pipeline(FunctionTransformer(clipped), StandardScaler(), _zero_for_missing()),
            _SCALED[3:],
        ),
        *(
            (
                name,
                make_pipeline(
                    SimpleImputer(missing_values=None, strategy="most_frequent"), one_hot()
                )
                if name in _IMPUTED
                else one_hot(),
                [name],
            )
            for name in _CATEGORIES
        ),
    ]
    if cross:
        hasher = FeatureHasher(
            n_features=128, input_type="string", alternate_sign=False, dtype=np.float32
        )
        parts.append(
            (
                "cross",
                make_pipeline(FunctionTransformer(joined), hasher),
                ["education", "occupation"],
            )
        )
    return ColumnTransformer(parts, sparse_threshold=0).fit(frame)


def _zero_for_missing() -> Any:
    from sklearn.preprocessing import FunctionTransformer

    return FunctionTransformer(np.nan_to_num)


def fit_by_hand(rows: DataFrame) -> tuple[Any, Any]:
    """The statistics that FIT_STEPS need, as one writes them in Spark: one aggregation, and one of
    what it decides.
    """
    from pyspark.sql import functions as F

    first = rows.agg(
        *[F.percentile_approx(name, 0.5, 50_000).alias(f"median_{name}") for name in _MEDIANS],
        F.percentile_approx("hours_per_week", [at / 10 for at in range(1, 10)], 50_000).alias(
            "edges"
        ),
        *[F.mode(name).alias(f"mode_{name}") for name in _IMPUTED],
        *[F.collect_set(name).alias(f"categories_{name}") for name in _CATEGORIES],
        *[F.count_if(F.col(name).isNull()).alias(f"missing_{name}") for name in _CATEGORIES],
    ).first()
    filled = rows.fillna({name: first[f"median_{name}"] for name in _MEDIANS})
    second = filled.agg(
        *[F.avg(name).alias(f"mean_{name}") for name in _MEDIANS],
        *[F.stddev_pop(name).alias(f"std_{name}") for name in _MEDIANS],
    ).first()
    return first, second


def fit_by_ml(rows: DataFrame) -> Any:
    """FIT_STEPS with pyspark.ml's own stages."""
    from pyspark.ml import Pipeline
    from pyspark.ml.feature import (
        Imputer,
        OneHotEncoder,
        QuantileDiscretizer,
        StandardScaler,
        StringIndexer,
        VectorAssembler,
    )

    filled = [f"{name}_filled" for name in _MEDIANS]
    index, hot = [f"{name}_index" for name in _CATEGORIES], [f"{name}_hot" for name in _CATEGORIES]
    stages = [
        Imputer(strategy="median", inputCols=_MEDIANS, outputCols=filled),
        QuantileDiscretizer(
            inputCol="hours_per_week", outputCol="hours_bucket", numBuckets=10, handleInvalid="keep"
        ),
        StringIndexer(inputCols=_CATEGORIES, outputCols=index, handleInvalid="keep"),
        OneHotEncoder(inputCols=index, outputCols=hot, handleInvalid="keep"),
        VectorAssembler(inputCols=filled, outputCol="numbers"),
        StandardScaler(inputCol="numbers", outputCol="scaled", withMean=True),
    ]
    return Pipeline(stages=stages).fit(rows)
