"""Gets pages from a server: pace, patience, retries, redirects and the bearer token.

Owns what is worth another try, and who may see the token. Must not know pages, records or where
they go.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from urllib.parse import quote, urljoin

import requests
import urllib3

from batchinfer.config.http_options import HttpOptions
from batchinfer.errors import BatchInferError, InputError, StorageError
from batchinfer.sources.http.answers import first_bytes
from batchinfer.sources.http.pages import origin

MAX_BODY_BYTES = 256 * 2**20
_CHUNK_BYTES = 2**16
_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.5, 30.0
# A server that is wrong about it must not hold a run for a day.
_RETRY_AFTER = urllib3.Retry(retry_after_max=120)
# The timeout is for each piece of an answer; all of it may take so many times as long.
_PATIENCE = 20
_REDIRECTS = 5
_SHOWN = 300
# Characters of the token that no message may hold.
_BEGINNING = 8
_REDIRECTED = frozenset((301, 302, 303, 307, 308))
_PASSING = frozenset((408, 425, 429))


class Refused(InputError):
    """An answer of the server that another try will not change.

    Attributes:
        status: of the answer; not kept when the error crosses to another process.
    """

    status: int = 0


class _PassingFault(Exception):
    """What may be over in a moment."""

    def __init__(self, fact: str, wait_s: float | None = None) -> None:
        super().__init__(fact)
        self.wait_s = wait_s


@dataclass(frozen=True)
class Answer:
    """A page as it came: its body in UTF-8, and its `Link` header."""

    body: bytes
    link: str


class Client:
    """Gets one page after the other, no faster than `rate_per_s`.

    Args:
        token: of the header `Authorization: Bearer`; no other host than the source's sees it, and
            no message holds it.
        sleep, clock, chance: what time and luck are taken from.
    """

    def __init__(
        self,
        options: HttpOptions,
        token: str | None = None,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._options, self._token = options, token
        self._sleep, self._clock, self._chance = sleep, clock, chance
        self._forms = (token, quote(token, safe="")) if token else ()
        self._next_at = 0.0
        self._session = requests.Session()
        # A cookie would make a page depend on those that were asked for before it.
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        # Where this is set, requests takes no password from ~/.netrc in place of the token.
        self._session.auth = _as_it_is

    def close(self) -> None:
        self._session.close()

    def holds_token(self, text: str) -> bool:
        """Whether the token stands in a text."""
        return any(form in text for form in self._forms)

    @contextmanager
    def keep_secret(self) -> Generator[None]:
        """Takes the token out of what errors raised in the block say: servers send it back in links
        and in messages.
        """
        try:
            yield
        except BatchInferError as error:
            hidden = [self._hidden(text) for text in (*error.problems, error.hint or "")]
            if hidden == [*error.problems, error.hint or ""]:
                raise
            raise type(error)(hidden[:-1], hidden[-1] or None) from None

    def get(self, url: str) -> Answer:
        """The answer to GET; tries again what is worth it.

        Runs on: driver.

        Raises:
            Refused: a status such as 401, 403 or 404; a redirect that leads nowhere.
            InputError: a body of more than MAX_BODY_BYTES.
            StorageError: 429, 5xx, no connection, no answer in time, an answer cut short, after all
                retries.
        """
        attempt = 0
        while True:
            self._keep_pace()
            try:
                return self._follow(url)
            except _PassingFault as fault:
                attempt += 1
                if attempt > self._options.retries:
                    tries = "1 try" if attempt == 1 else f"{attempt} tries"
                    raise StorageError(f"{url}: {fault}, after {tries}") from fault
                delay_s = self._delay(attempt, fault.wait_s)
            self._sleep(delay_s)

    def _keep_pace(self) -> None:
        if self._options.rate_per_s is None:
            return
        wait = self._next_at - self._clock()
        if wait > 0:
            self._sleep(wait)
        self._next_at = self._clock() + 1 / self._options.rate_per_s

    def _delay(self, attempt: int, asked_s: float | None) -> float:
        backoff = min(_FIRST_DELAY_S * 2 ** min(attempt - 1, 16), _LONGEST_DELAY_S) * (
            0.5 + self._chance() / 2
        )
        return backoff if asked_s is None else max(backoff, asked_s)

    def _follow(self, url: str) -> Answer:
        """The answer after redirects. The token goes only where the source's own URL leads."""
        target = url
        for _ in range(_REDIRECTS + 1):
            answer = self._send(target, url)
            if isinstance(answer, Answer):
                return answer
            target = answer
        raise Refused(f"{url}: more than {_REDIRECTS} redirects, the last to {target[:_SHOWN]}")

    def _send(self, target: str, url: str) -> Answer | str:
        """One request: its answer, or where it redirects to."""
        headers = {"Accept": "application/json", "User-Agent": "batchinfer"}
        if self._token is not None and _may_see_token(target, self._options.url):
            headers["Authorization"] = f"Bearer {self._token}"
        timeout_s = self._options.timeout_s
        try:
            with self._session.get(
                target, headers=headers, timeout=timeout_s, allow_redirects=False, stream=True
            ) as response:
                if response.status_code in _REDIRECTED:
                    return self._redirected(response, target)
                body = self._read(response, url)
        except BatchInferError:
            raise
        except (requests.Timeout, urllib3.exceptions.TimeoutError) as error:
            raise _PassingFault(f"no answer within {timeout_s:g} s") from error
        except requests.exceptions.SSLError as error:
            raise StorageError(f"{url}: no secure connection: {_reason(error)}") from error
        except (
            requests.ConnectionError,
            urllib3.exceptions.HTTPError,
            requests.exceptions.ChunkedEncodingError,
        ) as error:
            raise _PassingFault(f"the connection failed: {_reason(error)}") from error
        except (requests.RequestException, ValueError) as error:
            raise InputError(f"{url}: cannot be asked for: {_reason(error)}") from error
        return self._judge(response, body, url)

    def _redirected(self, response: requests.Response, target: str) -> str:
        location = response.headers.get("Location")
        if not location:
            raise self._refused(target, response, b"")
        to = urljoin(target, location)
        try:
            scheme, host, _ = origin(to)
        except ValueError as error:
            raise Refused(
                f"{target}: redirected to {location[:_SHOWN]}, which is no address"
            ) from error
        if scheme not in ("http", "https") or not host:
            raise Refused(f"{target}: redirected to {to[:_SHOWN]}; allowed: http and https")
        if target.startswith("https:") and scheme == "http":
            raise Refused(
                f"{target}: redirected to {to[:_SHOWN]}, without encryption; allowed: https"
            )
        return to

    def _read(self, response: requests.Response, url: str) -> bytes:
        until = self._clock() + _PATIENCE * self._options.timeout_s
        body = bytearray()
        while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                raise InputError(
                    f"{url}: an answer of more than {MAX_BODY_BYTES // 2**20} MiB; allowed: "
                    "smaller pages (source.pagination)"
                )
            if self._clock() > until:
                raise _PassingFault(
                    f"the answer was not complete after {_PATIENCE * self._options.timeout_s:g} s"
                )
        return bytes(body)

    def _judge(self, response: requests.Response, body: bytes, url: str) -> Answer:
        status = response.status_code
        wait_s = _wait_s(response.headers.get("Retry-After"))
        # Some servers say 403 instead of 429, with the time to wait.
        if status in _PASSING or status >= 500 or (status == 403 and wait_s is not None):
            raise _PassingFault(f"{status} {_phrase(response)}{_beginning(body)}", wait_s)
        if not 200 <= status < 300:
            raise self._refused(url, response, body)
        return Answer(
            _as_utf8(body, response.headers.get("Content-Type", "")),
            response.headers.get("Link", ""),
        )

    def _refused(self, url: str, response: requests.Response, body: bytes) -> Refused:
        status, hint, variable = response.status_code, None, self._options.auth_env
        if status in (401, 403):
            hint = (
                f"the server refuses the token that {variable} holds"
                if variable
                else "set source.auth_env for a bearer token"
            )
        error = Refused(
            f"{url}: got {status} {_phrase(response)}{_beginning(body)}; allowed: a page (200)",
            hint,
        )
        error.status = status
        return error

    def _hidden(self, text: str) -> str:
        """The text without the token, nor its beginning, which is left where a message is cut in
        the middle of it.
        """
        for form in self._forms:
            for length in range(len(form), min(len(form), _BEGINNING) - 1, -1):
                text = text.replace(form[:length], "***")
        return text


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _may_see_token(target: str, url: str) -> bool:
    """Whether a request is for the source's own host; from http to https on the usual ports is one
    host's own way, too.
    """
    to, own = origin(target), origin(url)
    return to == own or (
        to[1] == own[1] and own[0::2] == ("http", 80) and to[0::2] == ("https", 443)
    )


def _wait_s(header: str | None) -> float | None:
    """Seconds that `Retry-After` asks for: a number, or a date."""
    try:
        return None if header is None else _RETRY_AFTER.parse_retry_after(header)
    except urllib3.exceptions.InvalidHeader:
        return None


def _phrase(response: requests.Response) -> str:
    return " ".join((response.reason or "").split())[:60] or "(no phrase)"


def _beginning(body: bytes) -> str:
    return f", which begins with {first_bytes(body)}" if body.strip() else ""


def _as_utf8(body: bytes, content_type: str) -> bytes:
    """The body in UTF-8, whatever the header says that it is in; a byte order mark goes."""
    named = re.search(r"charset\s*=\s*\"?([\w.:-]+)", content_type, re.IGNORECASE)
    if named and named[1].lower().replace("_", "-") not in ("utf-8", "utf8"):
        try:
            body = body.decode(named[1]).encode()
        except (LookupError, ValueError):
            # The header is wrong; JSON is UTF-8 by its own standard.
            return body.removeprefix(b"\xef\xbb\xbf")
    return body.removeprefix(b"\xef\xbb\xbf")


def _reason(error: BaseException) -> str:
    """What lies at the bottom of an error of requests, which wraps those of urllib3, which wrap
    those of the system.
    """
    seen: set[int] = set()
    while id(error) not in seen:
        seen.add(id(error))
        inner = getattr(error, "reason", None) or next(
            (arg for arg in error.args if isinstance(arg, BaseException)), None
        )
        if isinstance(inner, BaseException):
            error = inner
    text = getattr(error, "strerror", None) or str(error).split("(Caused by")[0]
    return " ".join(str(text).split())[:200] or type(error).__name__
