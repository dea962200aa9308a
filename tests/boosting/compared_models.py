"""The models of the table: how each is made and saved, and how its own library is asked.

Owns the list. `table` asks.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from artefacts import Net
from boosting.asked import SCHEMA
from boosting.fitted import (
    a_table,
    saved_catboost,
    saved_lightgbm,
    saved_xgboost,
    texts_of,
    x_of,
    y_of,
)

LEARNED = a_table()
# Without the kind behind the last known one, of which XGBoost itself makes an error.
ROWS = a_table(seed=7, strange=True)
NUMBERS = ["whole", "b", "a"]
# Three numbers and no other, so that they are what a model without names is fed, in this order.
BARE = "{id: int, whole: double, y: string, b: float, kind: string, a: double}"
FEW = {"n_estimators": 50, "max_depth": 4}


@dataclass(frozen=True)
class Case:
    """One model.

    Attributes:
        home: the rows -> its library's (labels or None, scores or numbers); of two classes the
            probability of the second.
        overrides: settings of the pipeline.
        missing: words for missing values, as `register --missing` takes them.
        filled: the rows have no nulls in their numbers, as the model takes none.
    """

    format: str
    library: str
    model: str
    file: Path
    home: Callable[[pd.DataFrame], tuple[Any, Any]]
    overrides: tuple[str, ...] = ()
    missing: tuple[tuple[str, str], ...] = ()
    filled: bool = False
    schema: str = SCHEMA


def texts(labels: Any) -> list[str]:
    """Labels as text."""
    return [str(one) for one in np.asarray(labels).reshape(-1).tolist()]


def filled(table: pd.DataFrame) -> pd.DataFrame:
    """The rows with zeros for missing numbers."""
    return table.assign(**{name: table[name].fillna(0) for name in NUMBERS})


def matrix(table: pd.DataFrame) -> np.ndarray:
    """(rows, 3) float32 of the numbers."""
    return x_of(table, categories=False).to_numpy(np.float32)


def version(package: str) -> str:
    return importlib.metadata.version(package)


def cases(folder: Path) -> Iterator[Case]:
    """All models, made one after the other."""
    yield from estimators(folder)
    yield from converted(folder)
    yield from programs(folder)
    yield from xgboosts(folder)
    yield from lightgbms(folder)
    yield from catboosts(folder)
    yield from flavours(folder)


def with_kinds(table: pd.DataFrame) -> pd.DataFrame:
    """The features as a user of scikit-learn has them."""
    return x_of(table, categories=False).assign(kind=table["kind"])


def both(model: Any, features: Callable[[pd.DataFrame], Any]) -> Callable[[pd.DataFrame], Any]:
    """Labels and scores of a classifier with scikit-learn's two methods."""

    def home(table: pd.DataFrame) -> tuple[Any, Any]:
        rows = features(table)
        scores = np.asarray(model.predict_proba(rows))
        return model.predict(rows), scores[:, 1] if scores.shape[1] == 2 else scores

    return home


def estimators(folder: Path) -> Iterator[Case]:
    import skops.io
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder
    from sklearn.svm import SVC

    kinds = OneHotEncoder(handle_unknown="ignore", min_frequency=30)
    columns = make_column_transformer((SimpleImputer(), NUMBERS), (kinds, ["kind"]))
    library = f"scikit-learn {version('scikit-learn')}"
    made: list[tuple[str, Any]] = [
        ("imputer, one-hot, logistic regression", make_pipeline(columns, LogisticRegression())),
        ("imputer, one-hot, SVC with probabilities", make_pipeline(columns, SVC(probability=True))),
        ("forest of 100 trees", make_pipeline(columns, RandomForestClassifier(random_state=0))),
        ("imputer, one-hot, boosted trees", make_pipeline(columns, boosted_of_sklearn())),
    ]
    for place, (title, model) in enumerate(made):
        model.fit(with_kinds(LEARNED), y_of(LEARNED))
        file = folder / f"estimator{place}.skops"
        skops.io.dump(model, file)
        yield Case("skops", library, title, file, both(model, with_kinds))
    model = HistGradientBoostingClassifier(max_iter=30, random_state=0)
    model.fit(x_of(LEARNED, categories=False), y_of(LEARNED, 3))
    skops.io.dump(model, folder / "hist.skops")
    features = lambda table: x_of(table, categories=False)  # noqa: E731
    yield Case(
        "skops", library, "histogram trees, NaN, 3 classes", folder / "hist.skops",
        both(model, features),
    )  # fmt: skip


def boosted_of_sklearn() -> Any:
    from sklearn.ensemble import GradientBoostingClassifier

    return GradientBoostingClassifier(random_state=0, n_estimators=30)


def converted(folder: Path) -> Iterator[Case]:
    """Models as ONNX, against onnxruntime on the same file."""
    import onnxmltools
    import skl2onnx
    import xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType as OtherFloats
    from skl2onnx.common.data_types import FloatTensorType
    from sklearn.ensemble import RandomForestClassifier

    runtime = f"onnxruntime {version('onnxruntime')}"
    model: Any = RandomForestClassifier(random_state=0, max_depth=6)
    model.fit(matrix(filled(LEARNED)), y_of(LEARNED))
    made = skl2onnx.convert_sklearn(
        model, initial_types=[("features", FloatTensorType([None, 3]))], target_opset=17
    )
    (folder / "forest.onnx").write_bytes(made.SerializeToString())
    yield Case(
        "ONNX (skl2onnx)", runtime, "forest of 100 trees", folder / "forest.onnx",
        in_onnxruntime(folder / "forest.onnx"), filled=True, schema=BARE,
    )  # fmt: skip
    trees = xgboost.XGBClassifier(**FEW).fit(matrix(LEARNED), y_of(LEARNED))
    made = onnxmltools.convert_xgboost(
        trees, initial_types=[("features", OtherFloats([None, 3]))], target_opset=15
    )
    (folder / "trees.onnx").write_bytes(made.SerializeToString())
    yield Case(
        "ONNX (onnxmltools)", runtime, "XGBoost, NaN", folder / "trees.onnx",
        in_onnxruntime(folder / "trees.onnx"), schema=BARE,
    )  # fmt: skip


def in_onnxruntime(file: Path) -> Callable[[pd.DataFrame], tuple[Any, Any]]:
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])

    def home(table: pd.DataFrame) -> tuple[Any, Any]:
        labels, scores = session.run(None, {session.get_inputs()[0].name: matrix(table)})
        if isinstance(scores, list):
            scores = np.array([list(one.values()) for one in scores])
        return labels, np.asarray(scores)[:, 1]

    return home


def programs(folder: Path) -> Iterator[Case]:
    """A network in PyTorch's own formats."""
    import json

    import safetensors.torch

    torch.manual_seed(0)
    net = Net(3, 2).eval()
    example = torch.from_numpy(matrix(filled(LEARNED))[:4])

    def home(table: pd.DataFrame) -> tuple[Any, Any]:
        with torch.no_grad():
            return None, net(torch.from_numpy(matrix(table))).numpy()

    rows = torch.export.Dim("rows")
    torch.export.save(
        torch.export.export(net, (example,), dynamic_shapes=({0: rows},)), folder / "net.pt2"
    )
    torch.jit.save(torch.jit.script(net), str(folder / "net.pt"))
    safetensors.torch.save_file(net.state_dict(), str(folder / "net.safetensors"))
    described = {"class": "artefacts:Net", "arguments": {"features": 3, "outputs": 2}}
    (folder / "net.json").write_text(json.dumps(described))
    library = f"PyTorch {torch.__version__.partition('+')[0]}"
    for title, file in (
        ("torch.export", "net.pt2"),
        ("TorchScript", "net.pt"),
        ("safetensors", "net.safetensors"),
    ):
        yield Case(
            title, library, "network, 2 outputs", folder / file, home, filled=True, schema=BARE
        )


def predicted(model: Any, features: Callable[[pd.DataFrame], Any]) -> Callable[..., Any]:
    return lambda table: (None, model.predict(features(table)))


def xgboosts(folder: Path) -> Iterator[Case]:
    import xgboost

    library = f"XGBoost {version_of_xgboost()}"
    plain = lambda table: x_of(table, categories=False)  # noqa: E731
    for place, (title, classes, suffix, how) in enumerate(
        [
            ("2 classes, unseen categories", 2, "json", {}),
            ("4 classes, unseen categories", 4, "ubj", {}),
            ("4 classes, multi:softmax", 4, "ubj", {"objective": "multi:softmax"}),
            ("forest in rounds", 2, "json", {"num_parallel_tree": 4, "subsample": 0.5}),
            ("dart", 2, "json", {"booster": "dart", "rate_drop": 0.3}),
        ]
    ):
        file = folder / f"xgboost{place}.{suffix}"
        model = saved_xgboost(file, xgboost.XGBClassifier, classes, **FEW | how)
        yield Case(f"XGBoost .{suffix}", library, title, file, both(model, x_of))
    for objective in ("reg:squarederror", "count:poisson", "survival:cox"):
        file = folder / f"{objective.replace(':', '_')}.ubj"
        model = saved_xgboost(
            file, xgboost.XGBRegressor, categories=False, objective=objective, **FEW
        )
        yield Case("XGBoost .ubj", library, objective, file, predicted(model, plain))


def version_of_xgboost() -> str:
    import xgboost

    return xgboost.__version__


def lightgbms(folder: Path) -> Iterator[Case]:
    import lightgbm

    library = f"LightGBM {version('lightgbm')}"
    for place, (title, classes, how) in enumerate(
        [
            ("2 classes, unseen categories", 2, {}),
            ("4 classes", 4, {}),
            ("4 classes, multiclassova", 4, {"objective": "multiclassova"}),
            ("rf", 2, {"boosting_type": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}),
            ("linear_tree", 2, {"linear_tree": True}),
            ("zero_as_missing", 2, {"zero_as_missing": True}),
            ("sigmoid 2", 2, {"sigmoid": 2.0}),
        ]
    ):
        file = folder / f"lightgbm{place}.txt"
        model = saved_lightgbm(file, lightgbm.LGBMClassifier, classes, **FEW | how)
        yield Case("LightGBM .txt", library, title, file, both(model, x_of))
    for objective in ("regression", "poisson", "quantile"):
        file = folder / f"{objective}.txt"
        model = saved_lightgbm(file, lightgbm.LGBMRegressor, objective=objective, **FEW)
        yield Case("LightGBM .txt", library, objective, file, predicted(model, x_of))


def catboosts(folder: Path) -> Iterator[Case]:
    import catboost

    library, word = f"CatBoost {version('catboost')}", (("kind", "nan"),)
    for place, (title, classes, suffix, how) in enumerate(
        [
            ("2 classes with names, unseen categories", ("no", "yes"), "cbm", {}),
            ("2 classes, unseen categories", 2, "json", {}),
            ("4 classes", 4, "cbm", {}),
            ("4 classes, Lossguide", 4, "cbm", {"grow_policy": "Lossguide"}),
        ]
    ):
        file = folder / f"catboost{place}.{suffix}"
        model = saved_catboost(file, catboost.CatBoostClassifier, classes, **how)
        yield Case(f"CatBoost .{suffix}", library, title, file, both(model, texts_of), missing=word)
    model = saved_catboost(folder / "own.cbm", catboost.CatBoostClassifier)
    model.set_probability_threshold(0.3)
    model.save_model(folder / "own.cbm")
    yield Case(
        "CatBoost .cbm", library, "2 classes, its own threshold 0.3", folder / "own.cbm",
        both(model, texts_of), missing=word,
    )  # fmt: skip
    for loss in ("RMSE", "Poisson"):
        file = folder / f"{loss}.cbm"
        model = saved_catboost(file, catboost.CatBoostRegressor, loss_function=loss)
        yield Case("CatBoost .cbm", library, loss, file, predicted(model, texts_of), missing=word)


def flavours(folder: Path) -> Iterator[Case]:
    """MLflow's folders, against the model that was saved in them."""
    import catboost
    import lightgbm
    import mlflow
    import xgboost
    from mlflow.models import infer_signature
    from sklearn.linear_model import LogisticRegression

    library = f"MLflow {version('mlflow')}"
    signature = infer_signature(x_of(filled(LEARNED), categories=False), [0])
    model: Any = LogisticRegression()
    model.fit(x_of(filled(LEARNED), categories=False), y_of(LEARNED))
    mlflow.sklearn.save_model(model, folder / "sklearn", signature=signature)
    plain = lambda table: x_of(table, categories=False)  # noqa: E731
    yield Case(
        "MLflow sklearn", library, "logistic regression", folder / "sklearn", both(model, plain),
        filled=True,
    )  # fmt: skip
    trees = saved_xgboost(folder / "flavour.ubj", xgboost.XGBClassifier, **FEW)
    mlflow.xgboost.save_model(trees, folder / "xgboost")
    yield Case("MLflow xgboost", library, "2 classes", folder / "xgboost", both(trees, x_of))
    trees = saved_lightgbm(folder / "flavour.txt", lightgbm.LGBMClassifier, **FEW)
    mlflow.lightgbm.save_model(trees.booster_, folder / "lightgbm")
    yield Case("MLflow lightgbm", library, "2 classes", folder / "lightgbm", both(trees, x_of))
    trees = saved_catboost(folder / "flavour.cbm", catboost.CatBoostClassifier)
    mlflow.catboost.save_model(trees, folder / "catboost")
    yield Case(
        "MLflow catboost", library, "2 classes", folder / "catboost", both(trees, texts_of),
        missing=(("kind", "nan"),),
    )  # fmt: skip
    mlflow.sklearn.save_model(
        model, folder / "pyfunc", signature=signature, serialization_format="cloudpickle"
    )
    yield Case(
        "MLflow pyfunc", library, "logistic regression as a pickle", folder / "pyfunc",
        predicted(model, plain), ("model.trust=pickle",), filled=True,
    )  # fmt: skip
