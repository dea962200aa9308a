"""Every estimator of scikit-learn: fitted, saved by skops, opened without trust, and asked for what
it says at home.

`LEFT_OUT` is the table of those that are not, with the reason; all others are tried, whatever a new
version of scikit-learn brings.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
import torch
from sklearn import pipeline, preprocessing
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.feature_selection import SelectKBest, chi2, mutual_info_classif
from sklearn.frozen import FrozenEstimator
from sklearn.gaussian_process import GaussianProcessRegressor, kernels
from sklearn.impute import SimpleImputer
from sklearn.impute._iterative import IterativeImputer  # without the switch for experiments
from sklearn.linear_model import LinearRegression, LogisticRegression, TweedieRegressor
from sklearn.model_selection import GridSearchCV, RepeatedStratifiedKFold
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import all_estimators, get_tags

from batchinfer.models.formats.artifact import Classified
from batchinfer.models.formats.catalogue import needed_trust, open_artifact
from batchinfer.models.formats.skops_model import read_estimator

pytestmark = pytest.mark.filterwarnings("ignore")

LEFT_OUT = {
    "Birch": "skops does not save it",
    "FrozenEstimator": "has no parameters of its own; tried below, inside a calibration",
    **dict.fromkeys(
        (
            "AgglomerativeClustering", "ClassicalMDS", "DBSCAN", "HDBSCAN", "MDS", "OPTICS",
            "SpectralBiclustering", "SpectralClustering", "SpectralCoclustering",
            "SpectralEmbedding", "TSNE",
        ),
        "knows only the rows that it was fitted on: no predict, no transform",
    ),
    **dict.fromkeys(
        (
            "EmpiricalCovariance", "GraphicalLasso", "GraphicalLassoCV", "KernelDensity",
            "LedoitWolf", "MinCovDet", "NearestNeighbors", "OAS", "ShrunkCovariance",
        ),
        "describes the rows: no predict, no transform",
    ),
}  # fmt: skip

# Estimators that the module of the format does not take: rows that are no columns of numbers,
# several targets, probabilities of no classes.
_LOADED_ONLY = {
    "ClassifierChain", "DictVectorizer", "FeatureHasher", "IsotonicRegression", "LabelBinarizer",
    "LabelEncoder", "MultiLabelBinarizer", "MultiOutputClassifier", "PatchExtractor",
    "CountVectorizer", "HashingVectorizer", "TfidfVectorizer", "GaussianMixture",
    "BayesianGaussianMixture",
}  # fmt: skip

_WANTS_NUMBERS = {
    "FixedThresholdClassifier", "TunedThresholdClassifierCV", "TargetEncoder",
    "SelfTrainingClassifier",
}  # fmt: skip
_SMALL = {"random_state": 1, "n_estimators": 3}

_CLASSIFIER, _REGRESSOR = LogisticRegression(), LinearRegression()
_TWO = [("a", LogisticRegression()), ("b", DecisionTreeClassifier(random_state=1))]
ARGUMENTS: dict[str, dict[str, Any]] = {
    **{
        name: {"estimator": _CLASSIFIER}
        for name in (
            "ClassifierChain", "FixedThresholdClassifier", "MultiOutputClassifier",
            "OneVsOneClassifier", "OneVsRestClassifier", "OutputCodeClassifier", "RFE", "RFECV",
            "SelectFromModel", "SelfTrainingClassifier",
        )
    },
    "MultiOutputRegressor": {"estimator": _REGRESSOR},
    "RegressorChain": {"estimator": _REGRESSOR},
    "TunedThresholdClassifierCV": {"estimator": _CLASSIFIER, "cv": 2},
    "SequentialFeatureSelector": {"estimator": _CLASSIFIER, "cv": 2, "n_features_to_select": 2},
    "GridSearchCV": {"estimator": _CLASSIFIER, "param_grid": {"C": [1, 2]}, "cv": 2},
    "RandomizedSearchCV": {
        "estimator": _CLASSIFIER, "param_distributions": {"C": [1, 2]}, "cv": 2, "n_iter": 2,
    },
    "Pipeline": {"steps": [("impute", SimpleImputer()), ("model", _CLASSIFIER)]},
    "ColumnTransformer": {"transformers": [("scale", preprocessing.StandardScaler(), [0, 2])]},
    "FeatureUnion": {"transformer_list": [("scale", preprocessing.StandardScaler())]},
    "StackingClassifier": {"estimators": _TWO, "cv": 2},
    "VotingClassifier": {"estimators": _TWO, "voting": "soft"},
    "StackingRegressor": {"estimators": [("a", _REGRESSOR)], "cv": 2},
    "VotingRegressor": {"estimators": [("a", _REGRESSOR)]},
    "SparseCoder": {"dictionary": np.eye(4)},
    "HashingVectorizer": {"n_features": 32},
    "FeatureHasher": {"n_features": 32},
    "LocalOutlierFactor": {"novelty": True},
    "SparseRandomProjection": {"n_components": 2},
    "GaussianRandomProjection": {"n_components": 2},
    "PatchExtractor": {"patch_size": (2, 2), "max_patches": 2, "random_state": 1},
    "Nystroem": {"n_components": 5},
    "QuantileTransformer": {"n_quantiles": 10},
    "TransformedTargetRegressor": {"func": np.log1p, "inverse_func": np.expm1},
    "FunctionTransformer": {"func": np.log1p},
    "NeighborhoodComponentsAnalysis": {"max_iter": 3},
    "MiniBatchDictionaryLearning": {"max_iter": 2},
    "MiniBatchSparsePCA": {"max_iter": 2},
    "DictionaryLearning": {"max_iter": 2},
    "SparsePCA": {"max_iter": 2},
}  # fmt: skip
ROWS = 60


def numbers() -> np.ndarray:
    return np.abs(np.random.default_rng(3).normal(size=(ROWS, 4)))


def gaps(x: np.ndarray) -> np.ndarray:
    return np.where(np.random.default_rng(4).random(x.shape) < 0.1, np.nan, x)


def words(x: np.ndarray) -> np.ndarray:
    return np.where(x[:, 0] + x[:, 1] > 1.5, "yes", "no")


def texts() -> list[str]:
    return ["a good day", "bad days are here", "good bad ugly", "hello, day"] * (ROWS // 4)


def frame() -> pd.DataFrame:
    made = pd.DataFrame(gaps(numbers()), columns=list("abcd"))
    return made.assign(kind=(["x", "y", "z"] * ROWS)[:ROWS], text=texts())


def data_for(name: str, estimator: Any) -> tuple[Any, Any]:
    """Rows and targets that the estimator says it takes."""
    tags = get_tags(estimator)
    x = numbers()
    if name in ("LabelBinarizer", "LabelEncoder"):
        return words(x), None
    if name == "MultiLabelBinarizer":
        return [["a"], ["b", "a"], ["c"]] * 20, None
    if name == "PatchExtractor":
        return x.reshape(10, 6, 4), None
    if tags.input_tags.dict:
        return [{"a": 1.0, "b": 2.0}, {"b": 3.0}] * 20, None
    if tags.input_tags.string and not tags.input_tags.two_d_array:
        return texts(), None
    if name == "IsotonicRegression":
        return x[:, 0], x[:, 1]
    if name in ("MultiOutputClassifier", "ClassifierChain"):  # a column a target
        return x, np.column_stack([words(x) == "yes", x[:, 2] > 1]).astype(int)
    if tags.input_tags.pairwise and name != "SpectralClustering":
        return x @ x.T, words(x)
    target = words(x)
    if tags.estimator_type == "regressor":
        target = x @ [1.0, 2.0, 0.5, 0.1] + 0.1
        if name.startswith(("Multi", "RegressorChain")):
            target = np.column_stack([target, target + 1])
        if name in ("CCA", "PLSCanonical"):
            target = x[:, :2] + 1
    elif name == "PLSSVD":
        target = x[:, :2] + 1
    elif name in _WANTS_NUMBERS:
        target = (target == "yes").astype(int)
    if tags.input_tags.allow_nan and name not in ("SelectFromModel", "RFE", "RFECV"):
        x = gaps(x)
    return x, target


def said_by(estimator: Any, x: Any) -> np.ndarray:
    method = next(
        one for one in ("predict_proba", "predict", "transform") if hasattr(estimator, one)
    )
    said = getattr(estimator, method)(x)
    if isinstance(said, list):  # probabilities of several targets
        said = np.stack(said)
    return np.asarray(said.toarray() if hasattr(said, "toarray") else said)


def assert_the_same(said: Any, expected: np.ndarray) -> None:
    assert len(said) == len(expected) > 0
    if expected.dtype.kind in "fiub":
        # A product of matrices may differ in its last digit by where they lie in memory.
        np.testing.assert_allclose(np.asarray(said, float), expected.astype(float), 1e-12, 1e-14)
    else:
        np.testing.assert_array_equal(np.asarray(said, object), expected.astype(object))


def assert_it_travels(estimator: Any, x: Any, opened: bool = True) -> None:
    data = skops.io.dumps(estimator)
    assert needed_trust("skops", data) == "none"
    expected = said_by(estimator, x)
    assert_the_same(said_by(read_estimator(data), x), expected)
    if opened:
        module = open_artifact("skops", data, "cpu", "none")
        name = "frame" if module.frame is not None else module.inputs[0].name
        if isinstance(x, np.ndarray):
            x = torch.from_numpy(np.asarray(x, float))
        said = module(**{name: x})
        if isinstance(said, Classified):
            assert_the_same(said.labels, np.asarray(estimator.predict(x), str).astype(object))
            if said.scores is None:
                return
            said = said.scores
        assert_the_same(said, expected.reshape(len(expected), *np.shape(said)[1:]))


def fitted(estimator: Any, x: Any, target: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return estimator.fit(x) if target is None else estimator.fit(x, target)


@pytest.mark.parametrize("name", [name for name, _ in all_estimators() if name not in LEFT_OUT])
def test_every_estimator_says_here_what_it_says_at_home(name: str) -> None:
    kind, given = dict(all_estimators())[name], ARGUMENTS.get(name, {})
    takes = kind(**given).get_params(deep=False).keys() - given.keys()
    estimator = kind(**given, **{key: _SMALL[key] for key in _SMALL if key in takes})
    x, target = data_for(name, estimator)
    assert_it_travels(fitted(estimator, x, target), x, name not in _LOADED_ONLY)


def test_what_is_left_out_is_there_and_left_out_with_reason() -> None:
    kinds = dict(all_estimators())
    assert kinds.keys() >= LEFT_OUT.keys() | _LOADED_ONLY | ARGUMENTS.keys()
    for name, reason in LEFT_OUT.items():
        if reason.endswith("no predict, no transform"):
            assert not any(hasattr(kinds[name], one) for one in ("predict", "transform")), name
    with pytest.raises(TypeError, match="not supported"):
        skops.io.dumps(kinds["Birch"]().fit(numbers()))


def columns() -> ColumnTransformer:
    return ColumnTransformer(
        [
            ("numbers", pipeline.make_pipeline(SimpleImputer(), preprocessing.StandardScaler()),
             ["a", "b"]),
            ("kind", preprocessing.OneHotEncoder(handle_unknown="ignore"), ["kind"]),
            ("chosen", preprocessing.OrdinalEncoder(), make_column_selector(pattern="kind")),
            ("text", TfidfVectorizer(), "text"),
        ]
    )  # fmt: skip


TABLES: dict[str, Any] = {
    "columns": pipeline.make_pipeline(columns(), LogisticRegression()),
    "columns, a forest": pipeline.make_pipeline(
        columns(), RandomForestClassifier(5, random_state=1)
    ),
    "columns, neighbours": pipeline.make_pipeline(columns(), KNeighborsClassifier()),
    "columns, vectors": pipeline.make_pipeline(columns(), SVC()),
}


@pytest.mark.parametrize("name", TABLES)
def test_pipelines_of_named_columns(name: str) -> None:
    assert_it_travels(fitted(TABLES[name], frame(), words(numbers())), frame())


KERNELS = {
    "sum": kernels.ConstantKernel() * kernels.RBF() + kernels.WhiteKernel() + kernels.Matern() ** 2,
    "others": kernels.RationalQuadratic()
    + kernels.ExpSineSquared(periodicity=30.0)
    + kernels.DotProduct(),
    "pairs": kernels.PairwiseKernel(metric="rbf"),
}
METRICS: dict[str, dict[str, Any]] = {
    "manhattan": {}, "chebyshev": {}, "canberra": {}, "braycurtis": {}, "hamming": {},
    "jaccard": {}, "dice": {}, "rogerstanimoto": {}, "russellrao": {}, "sokalmichener": {},
    "sokalsneath": {}, "minkowski": {"p": 3, "w": np.array([1.0, 2.0, 1.0, 0.5])},
    "seuclidean": {"V": np.array([1.0, 2.0, 1.0, 0.5])}, "mahalanobis": {"V": np.eye(4) * 2},
}  # fmt: skip
CLASSIFIERS: dict[str, Any] = {
    "histogram boosting, three classes": HistGradientBoostingClassifier(max_iter=4),
    "boosting, three classes": GradientBoostingClassifier(n_estimators=3, init="zero"),
    "boosting, its own start": GradientBoostingClassifier(
        n_estimators=3, init=DecisionTreeClassifier()
    ),
    "forest, balanced": RandomForestClassifier(5, class_weight="balanced", oob_score=True),
    "tree, pruned": DecisionTreeClassifier(max_leaf_nodes=6, ccp_alpha=0.01),
    "neighbours, brute": KNeighborsClassifier(algorithm="brute"),
    "vectors with probabilities": SVC(probability=True, kernel="poly"),
    "network": MLPClassifier((5,), solver="sgd", max_iter=5, early_stopping=True),
    "calibrated, sigmoid": CalibratedClassifierCV(LinearSVC(), ensemble=False),
    "calibrated, isotonic": CalibratedClassifierCV(GaussianNB(), method="isotonic", cv=2),
    "calibrated, temperature": CalibratedClassifierCV(GaussianNB(), method="temperature", cv=2),
    "vote": VotingClassifier(_TWO, voting="soft"),
    "stack": StackingClassifier([*_TWO, ("c", KNeighborsClassifier())], cv=2),
    "search by a score": GridSearchCV(
        LogisticRegression(), {"C": [1, 2]}, scoring="roc_auc_ovr",
        cv=RepeatedStratifiedKFold(n_splits=2, n_repeats=2),
    ),
    "selected": pipeline.make_pipeline(SelectKBest(mutual_info_classif, k=2), GaussianNB()),
}  # fmt: skip
REGRESSORS: dict[str, Any] = {
    **{f"histogram boosting, {loss}": HistGradientBoostingRegressor(max_iter=4, loss=loss)
       for loss in ("absolute_error", "poisson", "gamma")},
    "histogram boosting, quantile": HistGradientBoostingRegressor(
        max_iter=4, loss="quantile", quantile=0.5),
    **{f"boosting, {loss}": GradientBoostingRegressor(n_estimators=3, loss=loss)
       for loss in ("huber", "absolute_error", "quantile")},
    "boosting, its own start": GradientBoostingRegressor(n_estimators=3, init=LinearRegression()),
    "forest, monotonic": RandomForestRegressor(3, monotonic_cst=[1, 0, 0, 0]),
    "tweedie": TweedieRegressor(power=1.5),
    **{f"process, {name}": GaussianProcessRegressor(kernel, alpha=9.0, optimizer=None)
       for name, kernel in KERNELS.items()},
    **{f"neighbours, {name}": KNeighborsRegressor(
        algorithm="ball_tree", metric=name, metric_params=more or None)
       for name, more in METRICS.items()},
    "splines": pipeline.make_pipeline(
        preprocessing.SplineTransformer(extrapolation="periodic"), LinearRegression()),
    "bins": pipeline.make_pipeline(
        preprocessing.KBinsDiscretizer(encode="ordinal", dtype=np.float32), LinearRegression()),
    "imputed by a model": pipeline.make_pipeline(IterativeImputer(max_iter=2), LinearRegression()),
}  # fmt: skip


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers_set_up_otherwise(name: str) -> None:
    x = numbers()
    three = np.digitize(x[:, 0] + x[:, 1], [1.2, 1.8])
    assert_it_travels(fitted(CLASSIFIERS[name], x, three), x)


@pytest.mark.parametrize("name", REGRESSORS)
def test_regressors_set_up_otherwise(name: str) -> None:
    x = numbers()
    assert_it_travels(fitted(REGRESSORS[name], x, x @ [1.0, 2.0, 0.5, 0.1] + 0.1), x)


def test_others_set_up_otherwise() -> None:
    x = numbers()
    two = x[:, :2]
    near = KNeighborsRegressor(algorithm="ball_tree", metric="haversine").fit(two, two[:, 0])
    assert_it_travels(near, two)
    assert_it_travels(IsolationForest(n_estimators=5, max_features=2, random_state=1).fit(x), x)
    frozen = FrozenEstimator(LogisticRegression().fit(x, words(x)))
    assert_it_travels(CalibratedClassifierCV(frozen).fit(x, words(x)), x)


def test_histogram_boosting_over_categories() -> None:
    kinds = frame()[["a", "kind"]].astype({"kind": "category"})
    for model in (HistGradientBoostingClassifier, HistGradientBoostingRegressor):
        estimator = model(categorical_features="from_dtype", max_iter=5, min_samples_leaf=3)
        target = (kinds["kind"] == "x").to_numpy(int)
        assert_it_travels(fitted(estimator, kinds, target), kinds)


TEXT_MODELS: dict[str, Any] = {
    "tf-idf": pipeline.make_pipeline(
        TfidfVectorizer(min_df=2, ngram_range=(1, 2), stop_words="english"), LogisticRegression()
    ),
    "counts": pipeline.make_pipeline(CountVectorizer(), SelectKBest(chi2, k=3), MultinomialNB()),
    "hashes": pipeline.make_pipeline(HashingVectorizer(n_features=32), LinearSVC()),
    "a forest": pipeline.make_pipeline(TfidfVectorizer(), RandomForestClassifier(3)),
    "boosting": pipeline.make_pipeline(
        CountVectorizer(), GradientBoostingClassifier(n_estimators=3)
    ),
    "vectors": pipeline.make_pipeline(TfidfVectorizer(), SVC()),
    "neighbours": pipeline.make_pipeline(TfidfVectorizer(), KNeighborsClassifier()),
    "nested": pipeline.make_pipeline(
        pipeline.make_pipeline(TfidfVectorizer(vocabulary=["good", "bad"])), LogisticRegression()
    ),
}


@pytest.mark.parametrize("name", TEXT_MODELS)
def test_models_of_texts(name: str) -> None:
    target = ["good" if "good" in text else "other" for text in texts()]
    assert_it_travels(fitted(TEXT_MODELS[name], texts(), target), texts())
