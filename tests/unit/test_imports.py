"""Importing the package must stay quick: a scheduler starts it often, and `--help` should not feel
like work.
"""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("pyspark", "torch", "mlflow", "great_expectations", "pandas", "pyarrow", "numpy")


def loaded_by(statement: str) -> set[str]:
    code = (
        f"import sys\n{statement}\nprint(*sorted(name for name in {HEAVY!r} if name in "
        "sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded_by("import batchinfer") == set()


def test_the_command_line_loads_nothing_heavy_before_a_command_runs() -> None:
    assert loaded_by("import batchinfer.cli") == set()


def test_a_public_name_is_imported_when_it_is_used() -> None:
    assert loaded_by("import batchinfer; batchinfer.Handler") >= {"torch"}


def test_an_unknown_name_says_what_there_is() -> None:
    import pytest

    import batchinfer

    with pytest.raises(AttributeError, match="has no attribute 'scores'; it has Handler"):
        batchinfer.scores


def test_importing_a_room_hides_no_public_name() -> None:
    import importlib

    import batchinfer

    importlib.import_module("batchinfer.lookups.tables")
    for name in batchinfer.__all__:
        assert callable(getattr(batchinfer, name)), name


def test_every_name_of_the_transforms_has_a_home() -> None:
    from batchinfer import transforms

    assert set(transforms._HOMES) == set(transforms.__all__)
    for name in transforms.__all__:
        assert getattr(transforms, name) is not None, name
