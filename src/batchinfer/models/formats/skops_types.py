"""Types in skops files that we vouch for beside those that skops trusts by itself: each by its
whole name, with the reason, the way it may come in, and the place where it may stand.

Owns the table. A type that is not in it stays refused: it may run its author's code, or nobody has
looked. Nothing that a file says changes the table. Knows no files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Vouched:
    """Why a type is harmless, and how it may occur.

    Attributes:
        reason: in a few words.
        loaders: kinds of nodes in the file that may make it. skops makes a list of whatever type a
            list's node names, by calling the type; so each type comes in only as skops writes it.
        places: of a function: `class.attribute` of the objects that may hold it. Anywhere else, as
            in a FunctionTransformer, it would be called with arguments of the file's choice.
    """

    reason: str
    loaders: tuple[str, ...] = ("ObjectNode",)
    places: tuple[str, ...] = ()


_FUNCTION = ("FunctionNode",)
_PLAIN = "Python over NumPy, and no hooks"


def _classes(module: str, names: str, reason: str) -> dict[str, Vouched]:
    return {f"{module}.{name}": Vouched(reason) for name in names.split()}


def _functions(module: str, names: str, reason: str, *places: str) -> dict[str, Vouched]:
    return {f"{module}.{name}": Vouched(reason, _FUNCTION, places) for name in names.split()}


_SELECTORS = tuple(
    f"{name}.score_func"
    for name in (
        "SelectKBest", "SelectPercentile", "SelectFpr", "SelectFdr", "SelectFwe",
        "GenericUnivariateSelect",
    )
)  # fmt: skip
_SCORERS = ("_Scorer._score_func", "_CurveScorer._score_func")
_METRICS = "sklearn.metrics"
_SCORES = "a score over two arrays, kept by a scorer; prediction calls none"

TREE = "sklearn.tree._tree.Tree"
PREDICTOR = "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"
SPARSE = "scipy.sparse._csr.csr_matrix"
PARTIAL = "functools.partial"
CHECK_ARRAY = "sklearn.utils.validation.check_array"

VOUCHED: Mapping[str, Vouched] = {
    # NumPy and SciPy.
    "numpy.dtype": Vouched("a type of numbers, read from an empty array", ("DTypeNode",)),
    SPARSE: Vouched("arrays; every index is checked against the shape", ("SparseMatrixNode",)),
    "scipy.interpolate._bsplines.BSpline": Vouched("knots and coefficients; SciPy's own checks"),
    **_functions("scipy._lib.array_api_compat.numpy._aliases", "asarray",
                 "kept by a spline, which makes arrays with it", "BSpline._asarray"),
    **_functions("numpy", "mean median max min sum", "pools merged features",
                 "FeatureAgglomeration.pooling_func"),
    # Trees. Their numbers are checked before C follows them: see skops_schema, tree_checks.
    TREE: Vouched("arrays; children, features and shapes are checked", ("TreeNode",)),
    PREDICTOR: Vouched("arrays; children and categories are checked, and the rows' width at use"),
    **_classes("sklearn.neighbors._kd_tree", "KDTree", "arrays; every index is checked"),
    **_classes("sklearn.neighbors._ball_tree", "BallTree", "arrays; every index is checked"),
    # PyFuncDistance is not among them: it calls a function.
    **_classes(
        "sklearn.metrics._dist_metrics",
        "EuclideanDistance64 ManhattanDistance64 ChebyshevDistance64 MinkowskiDistance64 "
        "SEuclideanDistance64 MahalanobisDistance64 HaversineDistance64 HammingDistance64 "
        "CanberraDistance64 BrayCurtisDistance64 JaccardDistance64 DiceDistance64 "
        "RogersTanimotoDistance64 RussellRaoDistance64 SokalMichenerDistance64 "
        "SokalSneathDistance64",
        "a formula; its weights are checked against the tree's width",
    ),
    # Parts of estimators.
    **_classes("sklearn._loss.loss", "HalfTweedieLoss HalfTweedieLossIdentity", _PLAIN),
    **_classes("sklearn.calibration",
               "_CalibratedClassifier _SigmoidCalibration _TemperatureScaling", _PLAIN),
    **_classes("sklearn.gaussian_process._gpc", "_BinaryGaussianProcessClassifierLaplace", _PLAIN),
    **_classes(
        "sklearn.gaussian_process.kernels",
        "CompoundKernel Sum Product Exponentiation ConstantKernel WhiteKernel RBF Matern "
        "RationalQuadratic ExpSineSquared DotProduct PairwiseKernel",
        "a formula over NumPy",
    ),
    **_classes("sklearn.multiclass", "_ConstantPredictor", _PLAIN),
    **_classes("sklearn.neural_network._stochastic_optimizers", "AdamOptimizer SGDOptimizer",
               "used while fitting only"),
    **_classes("sklearn.cluster._bisect_k_means", "_BisectingTree",
               "centres; their width is checked"),
    **_functions("sklearn.cluster._kmeans", "_kmeans_single_lloyd _kmeans_single_elkan",
                 "used while fitting only", "BisectingKMeans._kmeans_single"),
    **_classes("sklearn.impute._iterative", "IterativeImputer", "an estimator of scikit-learn"),
    "sklearn.impute._iterative._ImputerTriplet": Vouched("a named tuple", ("TupleNode",)),
    **_classes("sklearn.model_selection._search_successive_halving",
               "HalvingGridSearchCV HalvingRandomSearchCV", "estimators of scikit-learn"),
    "sklearn.utils._bunch.Bunch": Vouched("a dict with attributes", ("DictNode",)),
    **_classes("sklearn.utils._metadata_requests", "MetadataRequest MethodMetadataRequest",
               "names of arguments"),
    **_classes("sklearn.compose._column_transformer", "make_column_selector",
               "chooses columns while fitting only"),
    PARTIAL: Vouched("only around check_array", ("PartialNode",), ("FunctionTransformer.func",)),
    CHECK_ARRAY: Vouched("checks an array", _FUNCTION, ("partial.func",)),
    # Cross-validation and its scorers stay in what it fitted.
    **_classes("sklearn.metrics._scorer", "_Scorer _CurveScorer _PassthroughScorer",
               "not called by prediction"),
    **_classes(
        "sklearn.model_selection._split",
        "GroupKFold GroupShuffleSplit LeaveOneGroupOut LeaveOneOut LeavePGroupsOut LeavePOut "
        "PredefinedSplit RepeatedKFold RepeatedStratifiedKFold ShuffleSplit StratifiedGroupKFold "
        "StratifiedShuffleSplit TimeSeriesSplit",
        "used while fitting only",
    ),
    # The repeated splitters keep these two as classes.
    "sklearn.model_selection._split.KFold": Vouched(
        "used while fitting only", ("ObjectNode", "TypeNode")),
    "sklearn.model_selection._split.StratifiedKFold": Vouched(
        "used while fitting only", ("ObjectNode", "TypeNode")),
    **_functions("sklearn.feature_selection._univariate_selection",
                 "chi2 f_classif f_oneway f_regression r_regression",
                 "scores features while fitting only", *_SELECTORS),
    **_functions("sklearn.feature_selection._mutual_info",
                 "mutual_info_classif mutual_info_regression",
                 "scores features while fitting only", *_SELECTORS),
    **_functions(
        f"{_METRICS}._classification",
        "accuracy_score balanced_accuracy_score brier_score_loss cohen_kappa_score "
        "d2_brier_score d2_log_loss_score f1_score fbeta_score hamming_loss jaccard_score log_loss "
        "matthews_corrcoef precision_score recall_score zero_one_loss",
        _SCORES, *_SCORERS,
    ),
    **_functions(
        f"{_METRICS}._ranking",
        "average_precision_score dcg_score ndcg_score roc_auc_score top_k_accuracy_score",
        _SCORES, *_SCORERS,
    ),
    **_functions(
        f"{_METRICS}._regression",
        "d2_absolute_error_score d2_pinball_score d2_tweedie_score explained_variance_score "
        "max_error mean_absolute_error mean_absolute_percentage_error mean_gamma_deviance "
        "mean_pinball_loss mean_poisson_deviance mean_squared_error mean_squared_log_error "
        "mean_tweedie_deviance median_absolute_error r2_score root_mean_squared_error "
        "root_mean_squared_log_error",
        _SCORES, *_SCORERS,
    ),
    **_functions(f"{_METRICS}._scorer", "negative_likelihood_ratio positive_likelihood_ratio",
                 _SCORES, *_SCORERS),
    **_functions(
        f"{_METRICS}.cluster._supervised",
        "adjusted_mutual_info_score adjusted_rand_score completeness_score fowlkes_mallows_score "
        "homogeneity_score mutual_info_score normalized_mutual_info_score rand_score "
        "v_measure_score",
        _SCORES, *_SCORERS,
    ),
}  # fmt: skip
