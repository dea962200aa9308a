"""The inputs of yesterday's lake, day by day; the same numbers at each call.

The maker lands the days up to `UNSCORED`; the tests go on with `NEXT`, as the nights after would.
"""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import write_deltalake

# Days that have landed, of which the last has not been scored; and the one that the tests add.
DAYS = ("2026-11-18", "2026-11-19", "2026-11-20", "2026-11-21")
UNSCORED = DAYS[-1]
NEXT = "2026-11-22"
# Pipelines that land all these days at once have the last two of them.
LATE = DAYS[-2:]

_CITIES = ("Ulm", "Bern", "Graz", "", "Köln")
_WORDS = ("fine", "slow", "broken", "quick", "late", "Kind")


def _draw(what: str, day: str) -> random.Random:
    return random.Random(f"{what} {day}")


def _numbers(day: str, count: int) -> range:
    """Ids of a day: other days have others."""
    first = 100 * int(day[-2:])
    return range(first, first + count)


def write_text(root: Path, path: str, text: str, mode: str = "w") -> Path:
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open(mode, encoding="utf-8") as file:
        file.write(text)
    return target


def write_loans(root: Path, day: str, count: int = 24) -> None:
    """The file of the night, in place of the one before; two lines are bad on the first day."""
    draw = _draw("loans", day)
    lines = ["id,city,plan,age,income,failed\n"]
    for id_ in _numbers(day, count):
        city, plan = draw.choice(_CITIES), draw.choice(["a", "b", "c"])
        age = "" if draw.random() < 0.15 else str(draw.randrange(19, 80))
        income = "" if draw.random() < 0.1 else f"{draw.lognormvariate(10, 0.6):.2f}"
        failed = "yes" if draw.random() < (0.7 if plan == "a" else 0.2) else "no"
        lines.append(f"{id_},{city},{plan},{age},{income},{failed}\n")
    if day == DAYS[0]:
        lines[3:3] = ["1,Ulm,a,young,1.0,no\n", "2,Ulm\n"]
    write_text(root, "in/loans.csv", "".join(lines))


def write_prices(root: Path, day: str, count: int = 12, path: str = "in/prices/{day}.json") -> None:
    draw = _draw("prices", day)
    rows = []
    for id_ in _numbers(day, count):
        area, rooms = draw.uniform(20, 180), draw.randrange(1, 6)
        facts = {"area": round(area, 1), "rooms": rooms}
        if draw.random() < 0.1:
            facts.pop("area")
        district = draw.choice(["north", "south", None])
        price = round(3 * area + 20 * rooms + draw.gauss(0, 5), 2)
        rows.append({"id": id_, "day": day, "district": district, "facts": facts, "price": price})
    write_text(root, path.format(day=day), "".join(json.dumps(row) + "\n" for row in rows))


def write_labelled_prices(root: Path) -> None:
    """What is learned from, in a file of its own."""
    write_prices(root, "2026-11-01", 30, "in/labelled/prices.json")


def write_reviews(root: Path, day: str, count: int = 12) -> None:
    draw = _draw("reviews", day)
    ids = list(_numbers(day, count))
    words = [" ".join(draw.choices(_WORDS, k=draw.randrange(1, 6))) for _ in ids]
    stars = ["1" if "broken" in text else "2" if "slow" in text else "3" for text in words]
    table = pa.table(
        {
            "id": pa.array(ids, pa.int32()),
            "day": [day] * count,
            "words": [
                None if id_ % 11 == 5 else text for id_, text in zip(ids, words, strict=True)
            ],
            "stars": stars,
        }
    )
    folder = root / "in" / "reviews"
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / f"{day}.parquet")


def write_readings(root: Path, day: str, count: int = 20) -> None:
    """Readings of two sensors, with holes; one stands twice, one is not plausible."""
    draw = _draw("readings", day)
    lines = ["id,sensor,ts,value,power\n"]
    for id_ in _numbers(day, count):
        moment = f"{day} {draw.randrange(24):02}:{draw.randrange(60):02}:00"
        value = "" if draw.random() < 0.2 else f"{draw.gauss(50, 15):.2f}"
        lines.append(f"{id_},{draw.choice('ab')},{moment},{value},{draw.gauss(5, 2):.2f}\n")
    lines.append(lines[1])
    lines.append(f"{_numbers(day, count + 1)[-1]},a,{day} 12:00:00,99.5,1.0\n")
    write_text(root, f"in/readings/{day}.csv", "".join(lines))


def write_sensors(root: Path) -> None:
    """The feature table, which is no table of ours."""
    place = root / "var" / "lake" / "features" / "sensors"
    place.parent.mkdir(parents=True, exist_ok=True)
    write_deltalake(str(place), pa.table({"sensor": ["a", "b"], "height": [1.5, 12.25]}))


def write_mended(root: Path, day: str, count: int = 12) -> None:
    draw = _draw("mended", day)
    lines = ["id,day,size,weight\n"]
    lines += [
        f"{id_},{day},{id_ % 100 / 4},{draw.gauss(3, 1):.2f}\n" for id_ in _numbers(day, count)
    ]
    write_text(root, f"in/mended/{day}.csv", "".join(lines))


def shipments_of(day: str, count: int = 10) -> pa.Table:
    draw = _draw("shipments", day)
    ids = list(_numbers(day, count))
    return pa.table(
        {
            "id": pa.array(ids, pa.int64()),
            "day": pa.array([date.fromisoformat(day)] * count, pa.date32()),
            "carrier": [draw.choice(["road", "rail", "sea"]) for _ in ids],
            "weight": [round(draw.uniform(1, 40), 2) for _ in ids],
            "late": [draw.choice(["yes", "no"]) for _ in ids],
        }
    )


def write_shipments(root: Path, day: str) -> None:
    place = root / "in" / "shipments"
    place.parent.mkdir(parents=True, exist_ok=True)
    write_deltalake(str(place), shipments_of(day), mode="append")


def append_log(root: Path, day: str, hours: Sequence[int]) -> None:
    """Lines at the end of the log, one an hour; at three o'clock one that is none."""
    draw = _draw("weblog", day)
    month = f"{date.fromisoformat(day):%d/%b/%Y}"
    lines = []
    for hour in hours:
        if hour == 3:
            lines.append("what is this?\n")
            continue
        path, status = draw.choice(["/", "/a/b", "/search?q=tea"]), draw.choice([200, 200, 404])
        at = f"{month}:{hour:02}:15:00 +0000"
        lines.append(f'10.0.0.{hour} - - [{at}] "GET {path} HTTP/1.1" {status} {100 * hour}\n')
    write_text(root, "in/access.log", "".join(lines), "a")


def write_orders(root: Path, day: str, count: int = 6) -> None:
    path = root / "in" / "orders.db"
    path.parent.mkdir(parents=True, exist_ok=True)
    draw = _draw("orders", day)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("create table if not exists orders (id integer, at text, amount real)")
        rows = [
            (id_, f"{day} {place:02}:00:00", round(draw.uniform(1, 99), 2))
            for place, id_ in enumerate(_numbers(day, count))
        ]
        connection.executemany("insert into orders values (?, ?, ?)", rows)


def write_flowers(root: Path, day: str, count: int = 8) -> None:
    draw = _draw("flowers", day)
    lines = ["id,day,a,b,c,grown\n"]
    for id_ in _numbers(day, count):
        a, b, c = (f"{draw.gauss(0, 1):.3f}" for _ in range(3))
        lines.append(f"{id_},{day},{a},{b},{c},{draw.choice(['yes', 'no'])}\n")
    write_text(root, f"in/flowers/{day}.csv", "".join(lines))


# What a night brings to each source, but for the log, which grows by the hour.
WRITERS: dict[str, Callable[[Path, str], Any]] = {
    "loans": write_loans,
    "prices": write_prices,
    "reviews": write_reviews,
    "readings": write_readings,
    "mended": write_mended,
    "shipments": write_shipments,
    "orders": write_orders,
    "flowers": write_flowers,
}
