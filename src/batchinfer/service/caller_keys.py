"""Who may ask: keys that callers send as bearer tokens, held against their SHA-256.

Owns the form of the keys' file, `name:sha256` or `name:sha256:pipeline,pipeline` a line. The keys
themselves are known to their callers alone.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Collection, Iterable
from pathlib import Path

from batchinfer.config.suggestions import did_you_mean
from batchinfer.errors import ConfigError
from batchinfer.service.problem_documents import HttpProblem
from batchinfer.service.served_values import CallerKey

VARIABLE = "BATCHINFER_API_KEYS"
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_DIGEST = re.compile(r"[0-9a-fA-F]{64}")
_FORM = "name:sha256 or name:sha256:pipeline,pipeline, where sha256 is 64 hexadecimal digits"
_CHALLENGE = 'Bearer realm="batchinfer"'


def read_callers(file: Path | None, pipelines: Collection[str]) -> tuple[CallerKey, ...] | None:
    """The keys of a file, else those of BATCHINFER_API_KEYS; None where neither is given.

    Args:
        pipelines: names of all that are served.

    Raises:
        ConfigError: a file that cannot be read, lines that are no keys, names that come twice,
            pipelines that are not served; every problem at once.
    """
    if file is not None:
        try:
            text, place = file.read_text(encoding="utf-8"), str(file)
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"--api-keys-file {file}: {error}; allowed: a text file, one key a line: {_FORM}"
            ) from error
    elif VARIABLE in os.environ:
        text, place = os.environ[VARIABLE], VARIABLE
    else:
        return None
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    kept = [(number, line) for number, line in lines if line and not line.startswith("#")]
    problems: list[str] = []
    callers = [_read_line(f"{place}:{number}", line, problems) for number, line in kept]
    found = [caller for caller in callers if caller is not None]
    problems += _problems(place, found, pipelines)
    if not kept:
        problems.append(f"{place}: got no key; allowed: one a line: {_FORM}")
    if problems:
        raise ConfigError(problems)
    return tuple(found)


def _read_line(place: str, line: str, problems: list[str]) -> CallerKey | None:
    # A line may be a key that somebody took for its digest: it is not repeated.
    name, _, rest = line.partition(":")
    digest, colon, named = rest.partition(":")
    pipelines = tuple(one.strip() for one in named.split(",") if one.strip())
    if not (_NAME.fullmatch(name) and _DIGEST.fullmatch(digest)) or (colon and not pipelines):
        problems.append(f"{place}: is no key; allowed: {_FORM}")
        return None
    return CallerKey(name, digest.lower(), pipelines if colon else None)


def _problems(place: str, callers: list[CallerKey], pipelines: Collection[str]) -> Iterable[str]:
    names = [caller.name for caller in callers]
    for name in sorted(set(names)):
        if names.count(name) > 1:
            yield f"{place}: key {name} is there twice; allowed: each name once"
    for caller in callers:
        for named in caller.pipelines or ():
            if named not in pipelines:
                yield (
                    f"{place}: key {caller.name}: no pipeline {named!r} is served"
                    f"{did_you_mean(named, pipelines)}; allowed: {', '.join(sorted(pipelines))}"
                )


class CallerCheck:
    """Who sends a request."""

    def __init__(self, callers: tuple[CallerKey, ...] | None) -> None:
        self._callers = callers
        self._digests = [bytes.fromhex(caller.sha256) for caller in callers or ()]

    @property
    def asks(self) -> bool:
        """Whether a key is needed."""
        return self._callers is not None

    def caller(self, authorization: bytes | None) -> CallerKey | None:
        """The caller whose key that is; None: nobody needs one.

        Raises:
            HttpProblem: 401: no key, or one that nobody has.
        """
        if self._callers is None:
            return None
        if authorization is None:
            raise _refused("no key was sent; allowed: a header Authorization: Bearer KEY", "")
        scheme, _, token = authorization.partition(b" ")
        if scheme.lower() != b"bearer" or not token.strip():
            raise _refused("the header Authorization holds no bearer token", "invalid_request")
        digest = hashlib.sha256(token.strip()).digest()
        found: CallerKey | None = None
        # All are compared, so that the time does not tell which one is near.
        for caller, known in zip(self._callers, self._digests, strict=True):
            if hmac.compare_digest(digest, known):
                found = caller
        if found is None:
            raise _refused("nobody has this key", "invalid_token")
        return found


def not_yours(pipeline: str) -> HttpProblem:
    """403: a key that may not read a pipeline."""
    return HttpProblem(
        403,
        "no-right",
        f"this key may not read pipeline {pipeline}",
        headers={"WWW-Authenticate": f'{_CHALLENGE}, error="insufficient_scope"'},
    )


def _refused(detail: str, error: str) -> HttpProblem:
    told = f'{_CHALLENGE}, error="{error}"' if error else _CHALLENGE
    return HttpProblem(401, "no-key", detail, headers={"WWW-Authenticate": told})
