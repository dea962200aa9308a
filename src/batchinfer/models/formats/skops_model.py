"""scikit-learn estimators saved by skops: JSON and arrays, and only types that are known to be
harmless.

Owns the refusal of other types. Runs nothing of the model in `check`.
"""

from __future__ import annotations

import zipfile
from typing import Any

from batchinfer.config.suggestions import listed
from batchinfer.errors import ModelError
from batchinfer.models.formats import archives, pickles
from batchinfer.models.formats.artifact import TRUST_HINT, ForeignModule, Trust, missing_package

SCHEMA = "schema.json"


def check_skops(data: bytes, trust: Trust = "none") -> list[str]:
    """Types that the file needs and skops does not vouch for: none, unless they are trusted.

    Runs on: driver and executor.

    Raises:
        ModelError: the archive is damaged, or needs types that are not trusted.
        SetupError: the package skops is not installed.
    """
    members = archives.read_members(data)
    if SCHEMA not in members:
        raise ModelError(f"the skops archive has no {SCHEMA}")
    for name, content in members.items():
        if pickles.is_pickle(content):
            raise ModelError(
                f"the skops archive's {name} is a pickle: {pickles.described(content)}", TRUST_HINT
            )
    try:
        from skops.io import get_untrusted_types
    except ImportError as error:
        raise missing_package("skops", "sklearn") from error
    try:
        found = get_untrusted_types(data=archives.write_archive(members))
    except Exception as error:  # skops meets a hostile or damaged file with errors of any kind
        raise ModelError(f"the skops file is damaged: {type(error).__name__}: {error}") from error
    if found and trust != "pickle":
        raise ModelError(
            f"the skops file needs types that nobody vouches for: {listed(found)}; allowed: types "
            "that skops trusts by itself",
            f"Save the model as ONNX (skl2onnx) instead. {TRUST_HINT}",
        )
    return list(found)


def needs_trust(data: bytes) -> bool:
    """True if the file needs types that skops does not vouch for; see `check_skops`."""
    return bool(check_skops(data, "pickle"))


def open_skops(data: bytes, device: str, trust: Trust = "none") -> ForeignModule:
    """The estimator as a module, after `check_skops`; on the CPU. Runs on: driver and executor.

    Raises:
        ModelError: as `check_skops`; or what it holds is no fitted estimator.
    """
    from batchinfer.models.formats.estimator_predictor import EstimatorPredictor

    return EstimatorPredictor(read_estimator(data, trust))


def open_first_skops(data: bytes, device: str, trust: Trust = "none") -> ForeignModule:
    """As `open_skops`, asked as bundles of reading 1 ask."""
    from batchinfer.models.formats.estimators import EstimatorModule

    return EstimatorModule(read_estimator(data, trust))


def read_estimator(data: bytes, trust: Trust = "none") -> Any:
    """What the file holds, after `check_skops`. Runs on: driver and executor.

    Raises:
        ModelError: as `check_skops`; or skops cannot load it.
    """
    found = check_skops(data, trust)
    from skops.io import loads

    try:
        return loads(archives.write_archive(archives.read_members(data)), trusted=found)
    except (zipfile.BadZipFile, Exception) as error:
        raise ModelError(f"skops cannot load this file: {type(error).__name__}: {error}") from error
