"""How something reaches a collector: in a thread, in order, within a time limit, and never so
that a run fails or waits for long because of it.

Owns the limits, and that no reason shows an address or a secret. Must not know what is sent.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

LIMIT_S = 5.0
"""How long a run waits for its collectors at most, all of them together."""
STOPPED_LIMIT_S = 2.0
"""The same of a run that was told to stop."""
REST_S = 300.0
"""A collector that gave no answer in time is not tried again by this process for so long."""
_MOST_BYTES = 65_536

# When those that gave no answer may be tried again, by their names.
_resting: dict[str, float] = {}


class NotReceived(Exception):
    """Why something did not reach its collector, in words of ours."""


class _Silent(NotReceived):
    """The collector gave no answer in time."""


@dataclass(frozen=True)
class Collector:
    """A server that takes POST requests.

    Attributes:
        name: the setting that names it, such as `observability.otlp`.
        address: the whole of it, without user and password.
        headers: sent with each request; their values may be secrets.
    """

    name: str
    address: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        # Loaded here and not in the thread that posts: the work loads other libraries meanwhile.
        import requests

        del requests

    def post(self, body: bytes, content_type: str, limit_s: float = LIMIT_S) -> bytes:
        """Sends a request; returns the answer's body, as far as it is short.

        Raises:
            NotReceived: no connection, no answer in time, or an answer other than 2xx.
        """
        import requests

        try:
            answer = requests.post(
                self.address,
                data=body,
                timeout=limit_s,
                # A redirect would make a GET of it, or take it to another host.
                allow_redirects=False,
                stream=True,
                headers={**self.headers, "Content-Type": content_type, "User-Agent": "batchinfer"},
                # requests takes no password from ~/.netrc where this is set.
                auth=lambda request: request,
            )
            with answer:
                if not 200 <= answer.status_code < 300:
                    raise NotReceived(f"the server answered {answer.status_code}")
                return next(answer.iter_content(_MOST_BYTES), b"")
        except requests.Timeout:
            # Not `from error`: the error shows the address.
            raise _Silent(f"no answer within {limit_s:g} s") from None
        except requests.ConnectionError as error:
            kind = type(error).__name__
            raise NotReceived("no connection" if kind == "ConnectionError" else kind) from None
        except (requests.RequestException, ValueError) as error:
            raise NotReceived(type(error).__name__) from None


class Courier:
    """Takes things to one collector, one after the other, while the run goes on.

    Attributes:
        name: of the collector, as warnings name it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._last: threading.Thread | None = None
        self._failed: dict[str, list[str]] = {}
        self._under_way: list[str] = []

    def take(self, what: str, deliver: Callable[[], object]) -> None:
        """Delivers behind what was taken before.

        Args:
            what: is delivered, as warnings name it.
            deliver: runs in a thread; what it raises is told by `wait`.
        """
        before = self._last

        def run() -> None:
            if before is not None:
                before.join()
            reason = self._deliver(deliver)
            if reason is not None:
                self._failed.setdefault(reason, []).append(what)
            self._under_way.remove(what)

        self._under_way.append(what)
        self._last = threading.Thread(target=run, daemon=True, name=f"to {self.name}")
        self._last.start()

    def _deliver(self, deliver: Callable[[], object]) -> str | None:
        if time.monotonic() < _resting.get(self.name, 0):
            return "it gave no answer a moment ago, so it was not tried again"
        try:
            deliver()
        except _Silent as error:
            self._rest()
            return str(error)
        except NotReceived as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the run ended as it did
            return type(error).__name__
        return None

    def _rest(self) -> None:
        _resting[self.name] = time.monotonic() + REST_S

    def wait(self, until: float) -> list[str]:
        """Waits until all is delivered, or until `time.monotonic()` says that time; returns what
        was not, a sentence for each reason.
        """
        if self._last is not None:
            self._last.join(max(0.0, until - time.monotonic()))
        failed = {reason: list(what) for reason, what in self._failed.items()}
        if left := list(self._under_way):
            self._rest()
            failed.setdefault("no answer in time", []).extend(left)
        return [
            f"{self.name}: {' and '.join(what)} did not arrive: {reason}"
            for reason, what in failed.items()
        ]


def forget_silence() -> None:
    """Every collector may be tried again; for processes that run several commands, such as
    tests.
    """
    _resting.clear()
