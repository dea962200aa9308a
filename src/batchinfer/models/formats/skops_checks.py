"""An estimator that skops has loaded, looked through before it is used.

Owns the walk through all that the estimator holds, and what holds between its parts. skops sets
any attribute to any value of a type that is trusted; what follows here keeps a file from hiding
methods, from putting functions where scikit-learn calls them, and from numbers that C would follow
out of bounds. Knows no files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from types import BuiltinFunctionType, FunctionType
from typing import Any

import numpy as np

from batchinfer.errors import ModelError
from batchinfer.models.formats import estimator_checks, tree_checks
from batchinfer.models.formats.skops_types import CHECK_ARRAY, PARTIAL, PREDICTOR, TREE, VOUCHED

_METRICS = "sklearn.metrics._dist_metrics."


def check_loaded(estimator: Any) -> None:
    """Refuses an estimator whose parts do not fit each other. Runs on: driver and executor.

    Raises:
        ModelError: a part in a place where it has no business, or numbers out of bounds.
    """
    try:
        for owner, attribute, part, new in _edges(estimator):
            _check_place(owner, attribute, part)
            if new:
                _check_part(part)
    except ModelError:
        raise
    except Exception as error:  # a hostile estimator lacks or bends whatever is asked for
        raise ModelError(
            f"the estimator in the skops file does not hold together: {type(error).__name__}: "
            f"{error}"
        ) from error


def _edges(root: Any) -> Iterator[tuple[Any, str, Any, bool]]:
    """Each part with what holds it, the attribute's name, and whether it is met the first time."""
    seen: dict[int, Any] = {}
    waiting: list[tuple[Any, str, Any]] = [(None, "", root)]
    while waiting:
        owner, attribute, part = waiting.pop()
        if part is None or isinstance(part, str | bytes | int | float | np.generic):
            continue
        new = id(part) not in seen
        yield owner, attribute, part, new
        if new:
            seen[id(part)] = part
            waiting.extend((part, name, value) for name, value in _parts(part))


def _parts(part: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(part, np.ndarray):
        if part.dtype.hasobject:
            # asarray: a masked array's list leaves out what it masks.
            yield from (("", one) for one in np.asarray(part).ravel().tolist())
    elif isinstance(part, Mapping):
        yield from (("", key) for key in part)
        yield from (("", value) for value in part.values())
        yield "default_factory", getattr(part, "default_factory", None)
    elif isinstance(part, list | tuple | set):
        yield from (("", one) for one in part)
    elif isinstance(part, partial):
        yield "func", part.func
        yield "args", part.args
        yield "keywords", part.keywords
    if not isinstance(part, type) and not _is_function(part):
        yield from getattr(part, "__dict__", {}).items()


# What can be called and holds nothing. A kernel or a spline can be called too; it is looked into,
# whatever it says its name is.
_FUNCTIONS = (FunctionType, BuiltinFunctionType, np.ufunc, type(np.mean))


def _is_function(part: Any) -> bool:
    return isinstance(part, _FUNCTIONS)


def _name(part: Any) -> str:
    kind = part if _is_function(part) else type(part)
    return f"{getattr(kind, '__module__', None)}.{kind.__name__}"


def _check_place(owner: Any, attribute: str, part: Any) -> None:
    name = _name(part)
    place = f"{type(owner).__name__}.{attribute}"
    vouched = VOUCHED.get(name)
    allowed: tuple[str, ...] = () if vouched is None else vouched.places
    if name == TREE:
        allowed = tuple(f"{one}.tree_" for one in estimator_checks.TREE_OWNERS)
    if allowed and place not in allowed:
        raise ModelError(
            f"the skops file has {name} as {place}; allowed: {', '.join(allowed)}",
            "Save the model as ONNX (skl2onnx) instead.",
        )
    if name.startswith(_METRICS):  # a tree's own metric is looked at with the tree
        raise ModelError(f"the skops file has {name} as {place}; allowed: in a tree of neighbours")
    if name == PARTIAL and (
        _name(part.func) != CHECK_ARRAY
        or part.args
        or not part.keywords.keys() <= {"dtype", "ensure_all_finite"}
    ):
        raise ModelError(
            f"the skops file has a partial of {_name(part.func)}; allowed: check_array"
        )


def _check_part(part: Any) -> None:
    from scipy.sparse import issparse

    if isinstance(part, type | np.ndarray) or _is_function(part):
        return
    kind = type(part)
    for attribute in getattr(part, "__dict__", {}):
        # An attribute of that name would be called in place of the method.
        if callable(getattr(kind, attribute, None)):
            raise ModelError(
                f"the skops file's {kind.__name__} has an attribute {attribute}, which hides a "
                "method; allowed: attributes that scikit-learn sets"
            )
    if _name(part) == PREDICTOR:
        tree_checks.check_predictor(part)
    elif issparse(part):
        _check_sparse(part)
    else:
        estimator_checks.check_fitted(part)


def _check_sparse(matrix: Any) -> None:
    if matrix.format not in ("csr", "csc", "bsr"):
        raise ModelError(f"the skops file has a sparse array of the format {matrix.format}")
    try:
        matrix.check_format(full_check=True)
    except ValueError as error:
        raise ModelError(f"the skops file has a damaged sparse array: {error}") from error
