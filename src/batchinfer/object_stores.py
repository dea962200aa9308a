"""Opens places on object stores for pyarrow and deltalake, on every machine in the same way.

Owns the words of both libraries for what `config.s3` knows. Must not know tables: rooms that read
or write them ask here. Credentials are looked for by the libraries themselves, where the process
runs: AWS_ACCESS_KEY_ID and its companions, then a web identity, then the role of the container or
machine.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from batchinfer.config.s3 import (
    VARIABLE,
    S3Settings,
    find_problems,
    from_text,
    is_s3,
    of_bucket,
    settings_by_bucket,
    to_text,
)
from batchinfer.config.uris import Uri
from batchinfer.errors import ConfigError

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem, S3FileSystem

_Given = TypeVar("_Given")
_Got = TypeVar("_Got")
# Requests that a store gets at once.
_AT_ONCE = 32
# A store that does not answer ends a run in seconds; each try has its own limit besides.
_TRIES = 3
_CONNECT_S, _REQUEST_S, _RETRY_S = 3, 30, 20
_WORDS = 400
# What a store answers may repeat the key, and the text that it would have signed.
_ANSWER = re.compile(r"<Code>(?P<code>[^<]*)</Code>(.*?<Message>(?P<message>[^<]*)</Message>)?")
_REQUEST_ID = re.compile(r" \(Request ID: [^)]*\)")
_OF_STORE = re.compile(r"AWS Error|S3 error|<Code>|169\.254\.")
_HINTS = (
    (
        r"NoSuchBucket|NO_SUCH_BUCKET",
        "the store has no such bucket: check the place in conf/environments/<env>.yaml",
    ),
    (
        r"169\.254\.|credential|CredentialsNotLoaded",
        "no credentials were found on this machine: docs/object-stores.md says where they are "
        "looked for",
    ),
    (
        r"AccessDenied|ACCESS_DENIED|Forbidden|InvalidAccessKeyId|INVALID_ACCESS_KEY|SignatureDoesNotMatch|SIGNATURE|"
        r"ExpiredToken|InvalidToken|INVALID_CLIENT_TOKEN|\b403\b|\b401\b",
        "the store refused access: check the credentials on this machine, and what they may read, "
        "write and delete",
    ),
    (
        r"[Cc]onnect|NETWORK_CONNECTION|timed out|Timeout|dns|resolve|error sending request",
        "check the store's address, and try again: docs/object-stores.md names the settings",
    ),
)


def use(conf: Mapping[str, Any], places: Iterable[str]) -> None:
    """Makes an environment's settings those of this process and of all that it starts; nothing
    where no place is on a store.

    Args:
        conf: Spark settings of the environment.
        places: of tables and reports.

    Runs on: driver

    Raises:
        ConfigError: settings that tables on a store cannot have, or lack.
    """
    places = list(places)
    if problems := find_problems(conf, os.environ, places):
        raise ConfigError(problems)
    if any(map(is_s3, places)):
        os.environ[VARIABLE] = to_text(settings_by_bucket(conf, os.environ))


def side_by_side(
    filesystem: FileSystem, do: Callable[[_Given], _Got], items: Sequence[_Given]
) -> list[_Got]:
    """What `do` gives for each, in their order; a store is asked for several at once, since each
    answer takes a tenth of a second.

    Runs on: driver | executor
    """
    from concurrent.futures import ThreadPoolExecutor

    from pyarrow.fs import LocalFileSystem

    if isinstance(filesystem, LocalFileSystem) or len(items) < 2:
        return [do(item) for item in items]
    with ThreadPoolExecutor(min(_AT_ONCE, len(items)), thread_name_prefix="store") as pool:
        return list(pool.map(do, items))


def is_on_store(uri: str) -> bool:
    """Whether this module opens a place."""
    return is_s3(uri)


def delta_uri(uri: str) -> str:
    """The spelling that deltalake knows: `s3://` for `s3a://`."""
    return f"s3://{uri.rstrip('/').partition('://')[2]}" if is_s3(uri) else uri.rstrip("/")


def delta_options(uri: str) -> dict[str, str] | None:
    """Deltalake's storage options for a place; None for one that needs none.

    A commit is a PUT that the store refuses if the object is there (`If-None-Match: *`): that alone
    keeps two drivers from writing the same version.

    Runs on: driver | executor

    Source: object_store, `AmazonS3ConfigKey` and `S3ConditionalPut`; S3, "Conditional writes".
    """
    if not is_s3(uri):
        return None
    settings = _settings_of(uri)
    options = {
        "aws_conditional_put": "etag",
        "aws_region": settings.region or "us-east-1",
        "aws_virtual_hosted_style_request": "false" if settings.path_style else "true",
        "max_retries": str(_TRIES - 1),
        "retry_timeout": f"{_RETRY_S}s",
        "connect_timeout": f"{_CONNECT_S}s",
        "timeout": f"{_REQUEST_S}s",
    }
    if settings.endpoint is not None:
        options["aws_endpoint_url"] = (
            settings.endpoint if settings.path_style else _with_bucket(settings.endpoint, uri)
        )
        options["aws_allow_http"] = str(settings.endpoint.startswith("http://")).lower()
    if settings.anonymous:
        options["aws_skip_signature"] = "true"
    return options


def _with_bucket(endpoint: str, uri: str) -> str:
    """The host of one bucket: object_store takes the endpoint whole where buckets are part of the
    host.
    """
    scheme, _, host = endpoint.partition("://")
    return f"{scheme}://{Uri.parse(uri).authority}.{host}"


def open_s3(uri: str) -> tuple[S3FileSystem, str]:
    """Pyarrow's file system for a place, and the place inside it; one client a process, whatever is
    opened.

    Runs on: driver | executor
    """
    place = Uri.parse(uri)
    # A forked process must not share connections and threads with its parent.
    return _client(_settings_of(uri), os.getpid()), f"{place.authority}{place.path}".rstrip("/")


@lru_cache(maxsize=8)
def _client(settings: S3Settings, process: int) -> S3FileSystem:
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

    scheme, _, host = (settings.endpoint or "https://").partition("://")
    return S3FileSystem(
        endpoint_override=host or None,
        scheme=scheme,
        region=settings.region,
        anonymous=settings.anonymous,
        force_virtual_addressing=not settings.path_style,
        connect_timeout=_CONNECT_S,
        # One PUT for a small file in place of three requests.
        allow_delayed_open=True,
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=_TRIES),
    )


def _settings_of(uri: str) -> S3Settings:
    return of_bucket(from_text(os.environ.get(VARIABLE)), Uri.parse(uri).authority)


def is_of_store(text: str) -> bool:
    """Whether an error's text speaks of an object store."""
    return _OF_STORE.search(text) is not None


def words_and_hint(text: str) -> tuple[str, str | None]:
    """What a library says of an object store, short and without what is secret, and what helps.

    Args:
        text: in one line.
    """
    answer = _ANSWER.search(text)
    words = text
    if answer is not None:
        words = ": ".join(part for part in (answer["code"], answer["message"]) if part)
    elif "AWS Error" in text:
        words = _REQUEST_ID.sub("", text[text.index("AWS Error") :])
    for name, value in os.environ.items():
        if name.startswith("AWS_") and re.search("KEY|TOKEN|SECRET", name) and len(value) > 5:
            words = words.replace(value, "***")
    words = words if len(words) <= _WORDS else f"{words[: _WORDS - 2]} …"
    return words, next((hint for pattern, hint in _HINTS if re.search(pattern, text)), None)
