"""Makes the lake of a build: a small project with tables, registry, and bundles of every format.

    PYTHONPATH=CHECKOUT/src:tests .venv/bin/python -m yesterday.make format-1

CHECKOUT is a checkout of the commit whose lake is wanted (`git worktree add`): its code makes the
lake, this script only types the commands. The files are `lakes/NAME.tar.xz`, and `lakes/NAME.json`
with what that build said of its lake, and what it predicted for the slices that it was then asked
to score. Both are committed, and never made anew: later builds have to go on with what is there.
When a table gets another format, the build before it gets a lake of its own beside this one.

It needs Java, two minutes, and the folder /tmp/yesterday, which must not be there: some places are
recorded whole.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

from yesterday import answers, rows
from yesterday.archive import LAKES, pack
from yesterday.elsewhere import FLOWERS, TRUSTED, save_order_sum

ROOT = Path("/tmp/yesterday")
HERE = Path(__file__).parent
_PACKAGES = (
    "deltalake",
    "mlflow",
    "pyarrow",
    "pyspark",
    "torch",
    "scikit-learn",
    "skops",
    "onnx",
    "onnxruntime",
)
# Sizes of `mended` above this were refused: three of the twelve.
_REFUSED = "1.0"
_LOOKED_UP = 6

TRAINED = ("loans", "prices", "reviews", "readings", "mended", "shipments")
PIPELINES = (*TRAINED, "weblog", "orders", *FLOWERS)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="of the lake, such as format-1")
    name = parser.parse_args(argv).name
    if ROOT.exists() or (LAKES / f"{name}.tar.xz").exists():
        parser.error(f"{ROOT} or the lake {name} is there already; allowed: neither of them")
    os.environ |= {"LOGNAME": "yesterday"} | answers.variables(ROOT)
    os.environ.pop("BATCHINFER_HOME", None)
    _write_project()
    os.chdir(ROOT)
    sys.path.append(str(ROOT))
    _live()
    _forget_machine(ROOT / "var" / "mlflow.db")
    said = {"made": _made(), **_ask()}
    pack(ROOT, LAKES / f"{name}.tar.xz")
    said["scored"] = _score_the_rest()
    (LAKES / f"{name}.json").write_text(_as_text(said), encoding="utf-8")
    size = (LAKES / f"{name}.tar.xz").stat().st_size
    print(f"{LAKES / name}: {size:,} bytes, made by {said['made']['commit']}")
    shutil.rmtree(ROOT)
    return 0


def _write_project() -> None:
    shutil.copytree(HERE / "project", ROOT)
    template = ROOT / "flowers.yaml.template"
    for name in FLOWERS:
        text = (
            template.read_text()
            .replace("NAME", name)
            .replace("TRUST", "pickle" if name in TRUSTED else "none")
        )
        (ROOT / "conf" / "pipelines" / f"{name}.yaml").write_text(text)
    template.unlink()
    rows.write_sensors(ROOT)
    rows.write_labelled_prices(ROOT)
    (ROOT / "models").mkdir()


def _file(pipeline: str) -> str:
    return answers.pipeline_file(ROOT, pipeline)


def _type(*arguments: str, **extra: str) -> dict[str, Any]:
    """A command without a JVM, in a process of its own."""
    result = answers.command(ROOT, *arguments, **extra)
    assert result["exit"] == 0, result
    return result


def _live() -> None:
    """What a team did with the build in these days."""
    import batchinfer

    _live_with_loans()
    for day in rows.LATE:
        for write in (
            rows.write_prices,
            rows.write_reviews,
            rows.write_readings,
            rows.write_mended,
            rows.write_shipments,
        ):
            write(ROOT, day)
        rows.write_flowers(ROOT, day)
    first = rows.LATE[0]
    for name in TRAINED[1:]:
        batchinfer.extract(_file(name))
        batchinfer.train(_file(name))
    for name in ("prices", "reviews", "readings", "shipments"):
        batchinfer.score(_file(name), first)
    _type("score", "-p", "mended", "--slice", first, YESTERDAY_REFUSES=_REFUSED)
    _live_with_weblog()
    _live_with_orders()
    for name, save in FLOWERS.items():
        batchinfer.extract(_file(name))
        batchinfer.register(_file(name), str(save(ROOT / "models")))
        batchinfer.score(_file(name), first)


def _live_with_loans() -> None:
    """Two days by the first version, one of them again by the second; a third version on trial."""
    import batchinfer

    file = _file("loans")
    for number, day in enumerate(rows.DAYS):
        rows.write_loans(ROOT, day)
        batchinfer.extract(file, day)
        if number == 0:
            batchinfer.train(file)
        if number == 2:
            batchinfer.train(file, overrides={"train.params.seed": 2})
            batchinfer.score(file, rows.DAYS[1])
        if day != rows.UNSCORED:
            batchinfer.score(file, day)
    batchinfer.train(file, alias="trial", overrides={"train.params.seed": 3})
    _type("models", "-p", "loans", "--rollback")
    _type("models", "-p", "loans", "--promote", "2")


def _live_with_weblog() -> None:
    """A dozen looks at a log that grows: enough commits for a checkpoint of the landed table."""
    import batchinfer

    for day in rows.LATE:
        for hour in range(0, 12, 2):
            rows.append_log(ROOT, day, (hour, hour + 1))
            batchinfer.extract(_file("weblog"))
    batchinfer.register(_file("weblog"), "yesterday_models:Paths")
    batchinfer.score(_file("weblog"), rows.LATE[0])


def _live_with_orders() -> None:
    import batchinfer

    for day in rows.LATE:
        rows.write_orders(ROOT, day)
        batchinfer.extract(_file("orders"), day)
    batchinfer.register(_file("orders"), str(save_order_sum(ROOT / "models")))
    batchinfer.score(_file("orders"), rows.LATE[0])


def _made() -> dict[str, Any]:
    import batchinfer

    checkout = Path(batchinfer.__file__).parents[2]
    commit = subprocess.run(
        ["git", "-C", str(checkout), "rev-parse", "HEAD"],
        capture_output=True,
        text=True,
        check=True,
    )
    return {
        "root": str(ROOT),
        "commit": commit.stdout.strip(),
        "batchinfer": batchinfer.__version__,
        "packages": {name: version(name) for name in _PACKAGES},
    }


def _forget_machine(registry: Path) -> None:
    """Who moved an alias is recorded with the name of the machine."""
    with closing(sqlite3.connect(registry)) as connection, connection:
        connection.execute(
            "UPDATE registered_model_tags SET value = replace(value, ?, 'host')",
            (socket.gethostname(),),
        )
    with closing(sqlite3.connect(registry)) as connection:
        connection.execute("VACUUM")


def _ask() -> dict[str, Any]:
    """What the build says of what is there."""
    said: dict[str, Any] = {
        "status": {},
        "models": {},
        "quarantined": {},
        "landed_rows": {},
        "lookups": {},
    }
    for name in PIPELINES:
        said["status"][name] = answers.status(ROOT, name)
        said["models"][name] = _type("models", "-p", name)
        said["quarantined"][name] = answers.quarantined(ROOT, name)
        said["landed_rows"][name] = len(answers.landed(ROOT, name))
        said["lookups"][name] = _look_up(name)
    said["as_of"] = {day: _look_up("loans", day) for day in rows.DAYS[:2]}
    return said


def _look_up(pipeline: str, as_of: str | None = None) -> dict[str, Any]:
    """Some of the published keys."""
    import yaml

    import batchinfer

    key = yaml.safe_load(Path(_file(pipeline)).read_text())["source"]["key"]
    names = [key] if isinstance(key, str) else key
    keys = sorted({answers.key_of(row, names) for row in answers.predictions(ROOT, pipeline)})
    chosen = keys[:: max(1, len(keys) // _LOOKED_UP)]
    return {one: batchinfer.lookup(_file(pipeline), answers.parsed(one), as_of) for one in chosen}


def _score_the_rest() -> dict[str, list[dict[str, Any]]]:
    """What the build predicts for the slices that it had left; the archive does not know of it."""
    import batchinfer

    scored = {}
    for name in PIPELINES:
        report = batchinfer.score(_file(name), rows.UNSCORED)
        assert report.status == "published", report
        scored[name] = answers.predictions(ROOT, name, [rows.UNSCORED])
    return scored


def _as_text(said: dict[str, Any]) -> str:
    """JSON with a line for each answer, row or version."""
    topics = [
        f"{json.dumps(topic)}: {{\n" + ",\n".join(_as_lines(body)) + "\n}"
        for topic, body in said.items()
    ]
    return "{" + ",\n".join(topics) + "}\n"


def _as_lines(body: dict[str, Any]) -> Iterator[str]:
    for name, value in body.items():
        told = json.dumps(value, ensure_ascii=False)
        if isinstance(value, list):
            told = (
                "[" + ",".join(f"\n  {json.dumps(one, ensure_ascii=False)}" for one in value) + "]"
            )
        elif isinstance(value, dict):
            pairs = (
                f"\n  {json.dumps(key)}: {json.dumps(one, ensure_ascii=False)}"
                for key, one in value.items()
            )
            told = "{" + ",".join(pairs) + "}"
        yield f" {json.dumps(name)}: {told}"


if __name__ == "__main__":
    raise SystemExit(main())
