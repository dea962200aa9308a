"""What the house promises of itself: no circles, no full rooms, one file a name, no long files."""

from __future__ import annotations

import pytest

from benchmarks.house import (
    CHANGES,
    ROOT,
    circles,
    files_twice,
    folder_sizes,
    names_twice,
    read_tree,
    touched,
)


@pytest.fixture(scope="module")
def tree() -> dict[str, str]:
    return read_tree()


@pytest.fixture(scope="module")
def source(tree: dict[str, str]) -> dict[str, str]:
    return {path: text for path, text in tree.items() if path.startswith("src/")}


def test_no_imports_go_in_circles(tree: dict[str, str]) -> None:
    assert circles(tree) == []


@pytest.mark.parametrize(("room", "most"), [("src/batchinfer/pipeline", 22), ("src", 30)])
def test_no_folder_is_too_full_to_be_looked_through(
    source: dict[str, str], room: str, most: int
) -> None:
    sizes = {f"{folder}/": size for folder, size in folder_sizes(source).items()}
    full = {f: size for f, size in sizes.items() if f.startswith(f"{room}/") and size > most}
    assert full == {}


def test_a_public_name_stands_for_one_thing(source: dict[str, str]) -> None:
    # What can be run as a module has a `main`.
    assert names_twice(source).keys() <= {"main"}


def test_a_file_name_stands_once(source: dict[str, str]) -> None:
    assert files_twice(source) == {}


@pytest.mark.parametrize("folder", ["src", "benchmarks", "tests", "jobs", "deploy"])
def test_no_file_is_longer_than_one_person_can_hold_in_mind(folder: str) -> None:
    files = (ROOT / folder).rglob("*.py")
    lengths = {str(file.relative_to(ROOT)): file.read_text().count("\n") for file in files}
    assert lengths
    assert {path: lines for path, lines in lengths.items() if lines > 400} == {}


@pytest.mark.parametrize("change", CHANGES)
def test_the_samples_of_changes_are_still_there(source: dict[str, str], change: str) -> None:
    assert len(touched(source, CHANGES[change])) >= 3


def test_a_circle_is_found_through_functions_packages_and_types() -> None:
    made = {
        "src/house/__init__.py": "",
        "src/house/a.py": "def f():\n    from house.b import g\n",
        "src/house/b.py": "from house import c\n",
        "src/house/c.py": (
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import house.a\n"
        ),
        "src/house/d.py": "from house.a import f\nimport house\n",
    }
    assert circles(made) == [["house.a", "house.b", "house.c"]]


def test_what_occurs_twice_is_named_with_its_places() -> None:
    made = {
        "src/a/same.py": "def f(): ...\nclass G: ...\n",
        "src/b/same.py": "async def f(): ...\ndef _g(): ...\n",
        "src/b/__init__.py": "",
        "src/a/__init__.py": "",
        "src/b/other.py": "def _g(): ...\n",
    }
    assert names_twice(made) == {"f": ["src/a/same.py", "src/b/same.py"]}
    assert files_twice(made) == {"same.py": ["src/a/same.py", "src/b/same.py"]}
    assert folder_sizes(made) == {"src/a": 2, "src/b": 3}
