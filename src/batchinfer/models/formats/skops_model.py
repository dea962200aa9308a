"""scikit-learn estimators saved by skops: JSON and arrays, and only types that are known to be
harmless: those that skops trusts by itself, and those of `skops_types`.

Owns the refusal of other types. Runs nothing of the model in `check`.
"""

from __future__ import annotations

import zipfile
from typing import Any

from batchinfer.config.suggestions import listed
from batchinfer.errors import ModelError
from batchinfer.models.formats import archives, pickles, skops_checks
from batchinfer.models.formats.artifact import TRUST_HINT, ForeignModule, Trust, missing_package
from batchinfer.models.formats.skops_schema import SCHEMA, check_members, not_vouched


def check_skops(data: bytes, trust: Trust = "none") -> list[str]:
    """Types that the file needs and nobody vouches for: none, unless they are trusted.

    Runs on: driver and executor.

    Raises:
        ModelError: the archive is damaged, or needs types that are not trusted.
        SetupError: the package skops is not installed.
    """
    return _checked(data, trust)[2]


def needs_trust(data: bytes) -> bool:
    """True if the file needs types that nobody vouches for; see `check_skops`."""
    return bool(check_skops(data, "pickle"))


def open_skops(data: bytes, device: str, trust: Trust = "none") -> ForeignModule:
    """The estimator as a module, after `check_skops`; on the CPU. Runs on: driver and executor.

    Raises:
        ModelError: as `read_estimator`; or what it holds is no fitted estimator.
    """
    from batchinfer.models.formats.estimator_predictor import EstimatorPredictor

    return EstimatorPredictor(read_estimator(data, trust))


def open_first_skops(data: bytes, device: str, trust: Trust = "none") -> ForeignModule:
    """As `open_skops`, asked as bundles of reading 1 ask."""
    from batchinfer.models.formats.estimators import EstimatorModule

    return EstimatorModule(read_estimator(data, trust))


def read_estimator(data: bytes, trust: Trust = "none") -> Any:
    """What the file holds, after `check_skops`. Runs on: driver and executor.

    Where nothing is trusted, it is looked through before and after it is loaded; see
    `skops_schema` and `skops_checks`.

    Raises:
        ModelError: as `check_skops`; or what it holds does not hold together.
    """
    members, needed, _ = _checked(data, trust)
    from skops.io import loads

    try:
        if trust == "none":
            members = check_members(members)
        estimator: Any = loads(archives.write_archive(members), trusted=needed)
    except ModelError:
        raise
    except (zipfile.BadZipFile, Exception) as error:
        raise ModelError(f"skops cannot load this file: {type(error).__name__}: {error}") from error
    if trust == "none":
        skops_checks.check_loaded(estimator)
    return estimator


def _checked(data: bytes, trust: Trust) -> tuple[dict[str, bytes], list[str], list[str]]:
    """Members; types that skops does not trust by itself; those that nobody vouches for."""
    members = _members(data)
    needed, found = _untrusted(members)
    if found and trust != "pickle":
        raise ModelError(
            f"the skops file needs types that nobody vouches for: {listed(found)}; allowed: types "
            "that skops trusts by itself, and those of scikit-learn that are known to run no code",
            f"Save the model as ONNX (skl2onnx) instead. {TRUST_HINT}",
        )
    return members, needed, found


def _members(data: bytes) -> dict[str, bytes]:
    members = archives.read_members(data)
    if SCHEMA not in members:
        raise ModelError(f"the skops archive has no {SCHEMA}")
    for name, content in members.items():
        if pickles.is_pickle(content):
            raise ModelError(
                f"the skops archive's {name} is a pickle: {pickles.described(content)}", TRUST_HINT
            )
    return members


def _untrusted(members: dict[str, bytes]) -> tuple[list[str], list[str]]:
    """Types that the file needs and skops does not trust by itself, and those of them that nobody
    vouches for; nothing is loaded.
    """
    try:
        from skops.io import get_untrusted_types
    except ImportError as error:
        raise missing_package("skops", "sklearn") from error
    try:
        needed = list(get_untrusted_types(data=archives.write_archive(members)))
        return needed, not_vouched(members[SCHEMA], needed)
    except Exception as error:  # a hostile or damaged file is met with errors of any kind
        raise ModelError(f"the skops file is damaged: {type(error).__name__}: {error}") from error
