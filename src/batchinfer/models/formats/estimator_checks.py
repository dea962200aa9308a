"""What holds between the parts of a fitted estimator of scikit-learn, where C relies on it.

Owns the list of those estimators. A sound estimator always passes; one that was bent by hand would
read or write foreign memory. Knows no files, and not how an estimator was loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from batchinfer.errors import ModelError
from batchinfer.models.formats import tree_checks

TREE_OWNERS = (
    "DecisionTreeClassifier", "DecisionTreeRegressor", "ExtraTreeClassifier", "ExtraTreeRegressor",
)  # fmt: skip
# As many as the machine had that fitted it; OpenMP ends the process where it cannot have them.
_MOST_THREADS = 4096
# The words of its state that a Mersenne twister has.
_TWISTER_WORDS = 624


def _damaged(owner: Any, text: str) -> ModelError:
    return ModelError(f"the {type(owner).__name__} of the file does not hold together: {text}")


def _check_decision_tree(owner: Any) -> None:
    tree = owner.tree_
    if type(owner.n_features_in_) is not int or tree.n_features != owner.n_features_in_:
        raise _damaged(
            owner, f"it takes {owner.n_features_in_!r} features, its tree {tree.n_features}"
        )


def _check_forest(owner: Any) -> None:
    _check_widths(owner, owner.estimators_)


def _check_widths(owner: Any, estimators: Iterable[Any]) -> None:
    for one in estimators:
        if type(one).__name__ not in TREE_OWNERS:
            raise _damaged(owner, f"it holds a {type(one).__name__}; allowed: decision trees")
        if one.tree_.n_features != owner.n_features_in_:
            raise _damaged(
                owner, f"it takes {owner.n_features_in_!r} features, a tree {one.tree_.n_features}"
            )


def _check_isolation_forest(owner: Any) -> None:
    for one, features in zip(owner.estimators_, owner.estimators_features_, strict=True):
        if type(one).__name__ in TREE_OWNERS and not (
            one.tree_.n_features == len(features) <= owner.n_features_in_
        ):
            raise _damaged(
                owner,
                f"it hands {len(features)} of {owner.n_features_in_!r} features to a tree of "
                f"{one.tree_.n_features}",
            )


def _check_boosting(owner: Any) -> None:
    trees = owner.estimators_
    if not isinstance(trees, np.ndarray) or trees.ndim != 2 or not trees.size:
        raise _damaged(owner, "its trees are no table")
    _check_widths(owner, trees.ravel())
    kind = type(owner)

    # scikit-learn adds the trees' numbers to what `init_` gives, a column a class, and does not
    # look how many columns there are.
    def _raw_predict_init(self: Any, rows: Any) -> Any:
        started = kind._raw_predict_init(self, rows)
        if started.shape[1:] != self.estimators_.shape[1:]:
            raise _damaged(
                self, f"it starts from {started.shape[1:]} columns for {self.estimators_.shape[1:]}"
            )
        return started

    owner.__class__ = type(kind.__name__, (kind,), {"_raw_predict_init": _raw_predict_init})


def _check_vocabulary(owner: Any) -> None:
    # `filename` opens whatever path stands in a row.
    if getattr(owner, "input", "content") != "content":
        raise _damaged(owner, f"it reads its texts as {owner.input!r}; allowed: content")
    vocabulary = getattr(owner, "vocabulary_", None)
    if vocabulary is None:
        return
    places = np.asarray(list(vocabulary.values()))
    if places.size and (
        places.dtype.kind not in "iu" or places.min() < 0 or places.max() >= len(vocabulary)
    ):
        raise _damaged(owner, f"{len(vocabulary)} words have places beyond {len(vocabulary)}")


def _check_support_vectors(owner: Any) -> None:
    classifies = owner._impl in ("c_svc", "nu_svc")
    counts, support, vectors = owner._n_support, owner.support_, owner.support_vectors_
    rows = len(counts) - 1
    pairs = rows * (rows + 1) // 2
    if owner._sparse:
        total = vectors.shape[0]
        fits = vectors.format == "csr" and vectors.shape[1] == owner.n_features_in_
        fits &= owner._dual_coef_.data.shape == (rows * total,)
    else:
        total = len(support)
        fits = owner._dual_coef_.shape == (rows, total)
        # A kernel that is computed outside keeps the places of its vectors only.
        if owner.kernel == "precomputed" or callable(owner.kernel):
            places = range(owner.shape_fit_[0])
            fits &= not total or (support.min() in places and support.max() in places)
        else:
            fits &= vectors.shape == (total, owner.n_features_in_)
    fits &= "_sparse_kernels" not in vars(owner)  # C gets a kernel's place in that list
    fits &= support.shape == (total,) and len(owner._intercept_) >= pairs > 0
    if classifies:
        fits &= len(owner.classes_) == len(counts) and counts.min() >= 0 and counts.sum() == total
        fits &= all(len(one) in (0, pairs) for one in (owner._probA, owner._probB))
        fits &= len(owner._probA) == len(owner._probB)
    if not fits:
        raise _damaged(owner, "its support vectors, their weights and classes differ in number")


def _check_centres(owner: Any) -> None:
    centres, threads = owner.cluster_centers_, owner._n_threads
    if type(threads) is not int or not 1 <= threads <= _MOST_THREADS:
        raise _damaged(owner, f"it wants {threads!r} threads; allowed: 1 to {_MOST_THREADS}")
    if centres.ndim != 2 or not len(centres) or centres.shape[1] != owner.n_features_in_:
        raise _damaged(owner, f"its centres are {centres.shape}, of {owner.n_features_in_} columns")


def _check_bisecting(owner: Any) -> None:
    _check_centres(owner)
    waiting, seen = [owner._bisecting_tree], 0
    while waiting:
        node = waiting.pop()
        seen += 1
        if np.shape(node.center) != (owner.n_features_in_,) or seen > 2 * owner.n_clusters:
            raise _damaged(owner, f"a centre has {np.shape(node.center)}")
        if node.left is not None:
            waiting += [node.left, node.right]


def _check_neighbours(owner: Any) -> None:
    labels, rows = owner._y, owner._fit_X.shape[0]
    if labels.shape[0] != rows or (labels.size and labels.min() < 0):
        raise _damaged(owner, f"{labels.shape[0]} labels for {rows} rows")
    if labels.ndim == 1 and labels.max() >= len(owner.classes_):
        raise _damaged(owner, f"label {labels.max()} of {len(owner.classes_)} classes")


def _check_metric(owner: Any) -> None:
    width, metric = owner._fit_X.shape[1], owner.effective_metric_
    shapes = {"V": (width,), "w": (width,), "VI": (width, width)}
    if metric == "mahalanobis":
        shapes["V"] = (width, width)
    given = owner.effective_metric_params_ or {}
    if (metric == "haversine" and width != 2) or any(
        given.get(name) is not None and np.shape(given[name]) != shape
        for name, shape in shapes.items()
    ):
        raise _damaged(owner, f"its metric {metric} does not fit its {width} columns")


def _check_spline(spline: Any) -> None:
    from scipy.interpolate import BSpline

    knots, weights = spline._t, spline._c
    if any(type(one) is not np.ndarray or one.dtype != np.float64 for one in (knots, weights)):
        raise _damaged(spline, "its knots or coefficients are no numbers")
    if type(spline.k) is not int or spline.axis != 0:
        raise _damaged(spline, f"degree {spline.k!r}, axis {spline.axis!r}")
    BSpline(knots, weights, spline.k)  # SciPy's own checks, which setting attributes goes around


def _check_random(owner: Any) -> None:
    state = owner.get_state(legacy=False) if hasattr(owner, "get_state") else owner.bit_generator
    state = state if isinstance(state, dict) else state.state
    place = state["state"].get("pos", 0)
    if not 0 <= place <= _TWISTER_WORDS:
        raise _damaged(owner, f"place {place}; allowed: 0 to {_TWISTER_WORDS}")


_VECTORIZERS = ("CountVectorizer", "TfidfVectorizer", "HashingVectorizer", "DictVectorizer")
_FORESTS = (
    "RandomForestClassifier", "RandomForestRegressor", "ExtraTreesClassifier",
    "ExtraTreesRegressor", "RandomTreesEmbedding",
)  # fmt: skip
_LIBSVM = ("SVC", "NuSVC", "SVR", "NuSVR", "OneClassSVM")
# By the class's name: an attribute that it has once it is fitted, and its check. Without the
# attribute, as in the pattern that a forest keeps of its trees, scikit-learn gets to no C.
CHECKS: Mapping[str, tuple[str, Callable[[Any], None]]] = {
    **dict.fromkeys(TREE_OWNERS, ("tree_", _check_decision_tree)),
    **dict.fromkeys(_FORESTS, ("estimators_", _check_forest)),
    "IsolationForest": ("estimators_", _check_isolation_forest),
    "GradientBoostingClassifier": ("estimators_", _check_boosting),
    "GradientBoostingRegressor": ("estimators_", _check_boosting),
    "KDTree": ("", tree_checks.check_neighbours_tree),
    "BallTree": ("", tree_checks.check_neighbours_tree),
    **dict.fromkeys(_VECTORIZERS, ("", _check_vocabulary)),
    **dict.fromkeys(_LIBSVM, ("_dual_coef_", _check_support_vectors)),
    "KMeans": ("cluster_centers_", _check_centres),
    "MiniBatchKMeans": ("cluster_centers_", _check_centres),
    "BisectingKMeans": ("_bisecting_tree", _check_bisecting),
    "KNeighborsClassifier": ("_y", _check_neighbours),
    "RadiusNeighborsClassifier": ("_y", _check_neighbours),
    "BSpline": ("", _check_spline),
    "RandomState": ("", _check_random),
    "Generator": ("", _check_random),
}


def check_fitted(estimator: Any) -> None:
    """Checks an estimator or a part of one by its class; others pass.

    Runs on: driver and executor.

    Raises:
        ModelError: its numbers would be followed out of bounds.
    """
    attribute, check = CHECKS.get(type(estimator).__name__, ("", None))
    if check is not None and (not attribute or attribute in vars(estimator)):
        check(estimator)
    if "effective_metric_" in getattr(estimator, "__dict__", {}):
        _check_metric(estimator)
