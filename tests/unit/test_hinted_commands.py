"""Every command that a hint, a message, a report or a page of the documentation tells people to run
is one that the command line takes.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hinted import commands_in, problem_of

from batchinfer.cli import cli
from batchinfer.hinted_commands import Asked

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src" / "batchinfer").rglob("*.py"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
# `-p PIPELINE` and the like: whoever reads it has to think of what stands for it.
PLACEHOLDER = re.compile(r"-p (?:PIPELINE|NAME|P)\b|^batchinfer .*--slice …")


def texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every text of a module but its docstrings: (line, text), what is filled in as `x`."""
    inner: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            inner.add(id(node.value))  # a docstring
        if isinstance(node, ast.JoinedStr):
            inner.update(id(part) for part in node.values)
            yield (
                node.lineno,
                "".join(
                    str(part.value) if isinstance(part, ast.Constant) else "x"
                    for part in node.values
                ),
            )
        elif isinstance(node, ast.Constant) and id(node) not in inner:
            yield node.lineno, str(node.value)


def built(tree: ast.AST) -> Iterator[tuple[int, list[str]]]:
    """Every command that a module builds for a hint: (line, words), a value as `x`."""
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        first = node.args[0] if node.args else None
        if node.func.attr != "command" or not isinstance(first, ast.Constant):
            continue
        if "asked" in ast.unparse(node.func.value) or ast.unparse(node.func.value) == "self":
            yield node.lineno, [str(first.value), "-p", "x", *_given(node.args[1:])]


def _given(arguments: list[ast.expr]) -> Iterator[str]:
    for one in arguments:
        if isinstance(one, ast.Constant):
            yield str(one.value)
        elif isinstance(one, ast.Starred):
            # Words that only some of these commands have: `*([…] if … else [])`.
            lists = [each for each in ast.walk(one) if isinstance(each, ast.List)]
            yield from _given(max((each.elts for each in lists), key=len, default=[]))
        else:
            yield "x"


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: file.stem)
def test_every_command_in_a_text_of_the_package_is_one_that_runs(file: Path) -> None:
    tree = ast.parse(file.read_text())
    wrong = [
        f"{line}: {problem}"
        for line, text in texts(tree)
        for words in commands_in(text)
        if (problem := problem_of(words))
    ]
    wrong += [f"{line}: {problem}" for line, words in built(tree) if (problem := problem_of(words))]
    wrong += [f"{line}: {text}" for line, text in texts(tree) if PLACEHOLDER.search(text)]
    assert wrong == []


def test_the_commands_of_hints_are_found() -> None:
    found = [words for file in SOURCES for _, words in built(ast.parse(file.read_text()))]
    assert {words[0] for words in found} >= {"extract", "train", "score", "models", "quarantine"}
    assert len(found) > 15


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_in_the_documentation_is_one_that_runs(page: Path) -> None:
    blocks = re.findall(r"^```[a-z]*\n(.*?)^```", page.read_text(), re.M | re.S)
    wrong = [
        problem
        for block in blocks
        for words in commands_in(block)
        if (problem := problem_of(words))
    ]
    assert wrong == []


def test_a_command_that_is_none_is_told() -> None:
    [one, other] = commands_in("batchinfer replay -p x scores; batchinfer lookup -p x --keys a")
    assert "Missing option '--slice'" in str(problem_of(one))
    assert "No such option" in str(problem_of(other))


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        (Asked("churn"), "batchinfer score -p churn --slice 2026-11-21"),
        (Asked("my files/a b.yaml"), "batchinfer score -p 'my files/a b.yaml' --slice 2026-11-21"),
        (
            Asked("churn", "cluster", ("model.road=arrow",)),
            "batchinfer score -p churn --env cluster --set model.road=arrow --slice 2026-11-21",
        ),
    ],
)
def test_a_hint_names_the_pipeline_as_it_was_given(
    asked: Asked, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BATCHINFER_ENV", raising=False)
    assert asked.command("score", "--slice", "2026-11-21") == line
    assert [problem_of(words) for words in commands_in(line)] == [None]


def test_doctor_and_report_take_no_settings() -> None:
    line = Asked("churn", settings=("a=b",)).command("doctor", "--deep")
    assert line == "batchinfer doctor -p churn --deep"
    assert "--set" not in [name for one in cli.commands["doctor"].params for name in one.opts]


@pytest.mark.parametrize(
    ("trains", "alias", "words"),
    [
        (True, "champion", "train -p x"),
        (True, "best", "train -p x --alias best"),
        (False, "champion", "register -p x --artifact PATH --alias champion"),
        (False, "", "register -p x --artifact PATH"),
    ],
)
def test_a_model_is_made_as_the_pipeline_file_says(trains: bool, alias: str, words: str) -> None:
    assert Asked("x", trains=trains).version_command(alias) == f"batchinfer {words}"
