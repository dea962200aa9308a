"""Figures of the house: how full its folders are, what goes in circles, what one change touches.

    python -m benchmarks.house                          # the commit before the rooms, working tree
    python -m benchmarks.house --rev v0.1.0 --rev HEAD --list

Every figure is read from the text of the files, so any revision can be asked and nothing has to be
installed. Three of them need to be said in words:

- A circle is a set of modules that reach each other by imports. Imports inside functions and under
  `if TYPE_CHECKING` count: the reader has to know both files either way. `import batchinfer` does
  not: it asks where the package lies.
- Files and names occur twice if two modules of `src/` have them; `__init__.py` is no file's name.
- A change touches the files of `src/` that name what such a change has to name. The samples are
  things that are there, found by the patterns in `CHANGES`.
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import re
import subprocess
import tarfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from benchmarks.revision import commit

ROOT = Path(__file__).resolve().parents[1]
BEFORE = "e1a96a4"
WORKING_TREE = "working tree"
COLUMNS = 100
_READ = ("src", "benchmarks")
_PIPELINE = "src/batchinfer/pipeline"

# A sample of each kind of change, and what the files name that take part in it.
CHANGES: Mapping[str, str] = {
    # Decimals have a precision too, and floats are of single precision.
    "a setting (model.precision)": r"\bPrecision\b|_precision\b|\bprecision_|\bprecision:"
    r"|(?<!type_)\.precision\b|[\"']precision[\"']|\bprecision=",
    "a column of the predictions (scored_at)": r"\bscored_at\b|\bSCORED_AT\b|\bLINEAGE\b",
    "a source kind (texts)": r"[\"']texts[\"']|\bText(Source|Options)\b|\bread_whole_files\b",
    "an exit code (5)": r"\bTooManyQuarantined\b",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Prints a column for each revision, and one JSON line."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--rev", action="append", help=f"a revision, or '{WORKING_TREE}'")
    options.add_argument("--list", action="store_true", help="name what is counted")
    arguments = options.parse_args(argv)
    revisions = arguments.rev or [BEFORE, WORKING_TREE]
    trees = [read_tree(None if revision == WORKING_TREE else revision) for revision in revisions]
    found = [figures(tree) for tree in trees]
    print(f"{'':<42}" + "".join(f"{revision:>16}" for revision in revisions))
    for name in found[0]:
        print(f"{name:<42}" + "".join(f"{column[name]:>16}" for column in found))
    if arguments.list:
        for revision, tree in zip(revisions, trees, strict=True):
            print(f"\n{revision}")
            print(*(f"  {line}" for line in _details(tree)), sep="\n")
    line = {"benchmark": "house", "commit": commit()}
    print(json.dumps({**line, "revisions": dict(zip(revisions, found, strict=True))}))
    return 0


def read_tree(revision: str | None = None) -> dict[str, str]:
    """Text of each Python file below `src/` and `benchmarks/`, by its path; of the working tree
    without a revision.
    """
    if revision is None:
        return {
            path.relative_to(ROOT).as_posix(): path.read_text()
            for folder in _READ
            for path in sorted((ROOT / folder).rglob("*.py"))
        }
    packed = subprocess.run(
        ["git", "archive", "--format=tar", revision, *_READ],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        return {
            member.name: file.read().decode()
            for member in archive
            if member.name.endswith(".py") and (file := archive.extractfile(member)) is not None
        }


def figures(tree: Mapping[str, str]) -> dict[str, Any]:
    """What the tables show, by its name."""
    folders, of_src, found = folder_sizes(tree), _of_src(tree), circles(tree)
    return {
        "files of the fullest folder of pipeline/": max(
            size for folder, size in folders.items() if _is_below(folder, _PIPELINE)
        ),
        "files of the fullest folder of src/": max(
            size for folder, size in folders.items() if _is_below(folder, "src")
        ),
        "circles of imports": len(found),
        "files in them": ", ".join(str(len(circle)) for circle in found) or "-",
        "public names that occur twice": len(names_twice(of_src)),
        "file names that occur twice": len(files_twice(of_src)),
        "lines of the longest file": max(text.count("\n") for text in of_src.values()),
        f"lines of more than {COLUMNS} columns": sum(
            len(line) > COLUMNS for text in of_src.values() for line in text.splitlines()
        ),
        **{name: len(touched(of_src, pattern)) for name, pattern in CHANGES.items()},
    }


def folder_sizes(tree: Mapping[str, str]) -> dict[str, int]:
    """How many modules each folder holds; its `__init__.py` is one."""
    return Counter(PurePosixPath(path).parent.as_posix() for path in tree)


def circles(tree: Mapping[str, str]) -> list[list[str]]:
    """Modules that reach each other by imports: a sorted list a circle, the largest first."""
    modules = {_module(path): path for path in tree}
    reached = _reached({name: _imports(tree[path], modules) for name, path in modules.items()})
    found = {
        tuple(sorted({name} | {other for other in reached[name] if name in reached[other]}))
        for name in modules
        if name in reached[name]
    }
    return sorted(([*circle] for circle in found), key=lambda circle: (-len(circle), circle))


def names_twice(tree: Mapping[str, str]) -> dict[str, list[str]]:
    """Public functions and classes of modules whose name another module has too, and where."""
    places: dict[str, list[str]] = defaultdict(list)
    for path, text in tree.items():
        for node in ast.parse(text).body:
            named = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            if named and not node.name.startswith("_"):
                places[node.name].append(path)
    return {name: paths for name, paths in sorted(places.items()) if len(set(paths)) > 1}


def files_twice(tree: Mapping[str, str]) -> dict[str, list[str]]:
    """File names that stand in two folders, and where."""
    places: dict[str, list[str]] = defaultdict(list)
    for path in tree:
        places[PurePosixPath(path).name].append(path)
    del places["__init__.py"]
    return {name: paths for name, paths in sorted(places.items()) if len(paths) > 1}


def touched(tree: Mapping[str, str], pattern: str) -> list[str]:
    """Files that name what a change has to name."""
    return [path for path, text in tree.items() if re.search(pattern, text)]


def _of_src(tree: Mapping[str, str]) -> dict[str, str]:
    return {path: text for path, text in tree.items() if path.startswith("src/")}


def _is_below(folder: str, root: str) -> bool:
    return folder == root or folder.startswith(f"{root}/")


def _module(path: str) -> str:
    name = path.removeprefix("src/").removesuffix(".py").replace("/", ".")
    return name.removesuffix(".__init__")


def _imports(text: str, modules: Mapping[str, str]) -> set[str]:
    """Modules of the tree that a file imports; of a package, the module that is meant."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if "." in alias.name}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in modules else node.module for name in inner}
    return found & modules.keys()


def _reached(imports: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """What each module reaches in one step or more; a module of a circle reaches itself."""
    reached: dict[str, set[str]] = {}
    for name in imports:
        ahead, seen = list(imports[name] - {name}), set[str]()
        while ahead:
            other = ahead.pop()
            if other not in seen:
                seen.add(other)
                ahead += imports[other]
        reached[name] = seen
    return reached


def _details(tree: Mapping[str, str]) -> Iterator[str]:
    of_src = _of_src(tree)
    for circle in circles(tree):
        yield f"circle: {', '.join(circle)}"
    for name, paths in {**names_twice(of_src), **files_twice(of_src)}.items():
        yield f"twice: {name}: {', '.join(paths)}"
    for change, pattern in CHANGES.items():
        yield f"{change}: {', '.join(touched(of_src, pattern))}"


if __name__ == "__main__":
    raise SystemExit(main())
