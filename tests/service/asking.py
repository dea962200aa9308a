"""Those who ask while generations change, and what shows that a worker has taken one up."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import requests
from service.served_project import Served, get

PATH, BATCH = "/v1/predictions/churn", "/v1/predictions/churn:batch"
ROWS = 2_000


def wait_for(served: Served, generation: str, within_s: float = 10) -> None:
    """Until every worker answers from it."""
    until = time.monotonic() + within_s
    same = 0
    while same < 20:
        assert time.monotonic() < until, get(served, "/readyz").text
        told = get(served, "/readyz", headers={"connection": "close"}).json()
        same = same + 1 if told["pipelines"]["churn"].get("generation") == generation else 0
        time.sleep(0.01)


class Asking(threading.Thread):
    """Asks until it is told to stop: one key, and then many at once."""

    def __init__(self, served: Served, number: int) -> None:
        super().__init__(daemon=True)
        self._served, self._number = served, number
        self.ended = threading.Event()
        self.answers = 0
        self.wrong: list[str] = []
        self.seen: set[str] = set()

    def run(self) -> None:
        keys = [{"customer": f"c{n}", "order": n} for n in range(0, ROWS, 5)]
        try:
            with requests.Session() as session:
                while not self.ended.is_set():
                    number = (self._number * 31 + self.answers) % ROWS
                    query = f"{PATH}?customer=c{number}&order={number}"
                    one = session.get(self._served.url + query, timeout=20)
                    if one.status_code != 200 or one.json()["prediction"]["order"] != number:
                        self.wrong.append(one.text)
                    many = session.post(self._served.url + BATCH, json={"keys": keys}, timeout=20)
                    told = many.json()
                    labels = {each["prediction"]["label"] for each in told["results"]}
                    if many.status_code != 200 or labels != {told["generation"]}:
                        self.wrong.append(f"{labels} in {told['generation']}")
                    self.seen |= labels
                    self.answers += 2
        except (requests.RequestException, KeyError, TypeError) as error:
            self.wrong.append(repr(error))


@contextmanager
def asked_all_along(served: Served, askers: int) -> Iterator[list[Asking]]:
    """So many ask within, each beside the others; no answer was wrong."""
    asking = [Asking(served, number) for number in range(askers)]
    for each in asking:
        each.start()
    try:
        yield asking
    finally:
        for each in asking:
            each.ended.set()
        for each in asking:
            each.join(30)
    assert [wrong for each in asking for wrong in each.wrong] == []
