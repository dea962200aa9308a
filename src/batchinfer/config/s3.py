"""How an environment's settings of `s3a://` are said to the libraries that read and write tables
without Hadoop.

Owns which of Hadoop's settings are understood, which would be silently different for one half of a
run and are refused, and the one variable in which all of it travels to other processes. There is
never a credential in it: each process finds those where it runs. Opens nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from batchinfer.config.suggestions import shown
from batchinfer.config.uris import Uri, check_place
from batchinfer.credentials import holds_user

# Holds what `to_text` gives; set on the driver, and by Spark in the workers on every machine.
VARIABLE = "BATCHINFER_S3"
SCHEME = "s3a://"
_PREFIX = "spark.hadoop.fs.s3a."
_UNDERSTOOD = (
    "endpoint.region",
    "endpoint",
    "path.style.access",
    "connection.ssl.enabled",
    "aws.credentials.provider",
)
# Hadoop would sign, encrypt or route its requests by these, and the workers, which have no Hadoop,
# theirs without.
_REFUSED = re.compile(
    r"(bucket\.[^=]+\.)?(access\.key|secret\.key|session\.token|assumed\.role\..*|encryption\..*|server-side-encryption.*|proxy\..*)"
)
_ANONYMOUS = "AnonymousAWSCredentialsProvider"
_AMAZON = re.compile(r"^(https?://)?s3[.-]([a-z0-9-]+)\.amazonaws\.com")
_ELSEWHERE = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")


@dataclass(frozen=True)
class S3Settings:
    """Where one bucket is.

    Attributes:
        endpoint: with its scheme; None: Amazon's own of the region.
        region: None where neither the environment nor AWS_REGION says it.
        path_style: the bucket is the first part of the path, not of the host.
        anonymous: requests are not signed.
    """

    endpoint: str | None = None
    region: str | None = None
    path_style: bool = False
    anonymous: bool = False


def is_s3(place: str) -> bool:
    """Whether a place is spelled as users and Hadoop do: `s3a://bucket/…`."""
    return place.startswith(SCHEME)


def check_table_place(text: str) -> None:
    """Whether tables and reports can lie at a place.

    Raises:
        ValueError: a scheme that cannot be written to, a URI without its bucket, with `..` or with
            credentials.
    """
    check_place(text)
    if "://" in text and not text.startswith("file:") and not is_s3(text):
        raise ValueError(
            f"got {shown(text)}; allowed for tables and reports: a path, file:///…, or "
            "s3a://bucket/folder (files of a source "
            "may be on other stores; docs/object-stores.md says why tables may not)"
        )


def settings_by_bucket(
    conf: Mapping[str, Any], environ: Mapping[str, str]
) -> dict[str, S3Settings]:
    """What Spark settings say of each bucket that they name; "" stands for all others.

    Args:
        conf: of the environment, by Spark's own names.
        environ: AWS_REGION or AWS_DEFAULT_REGION where no region is set.
    """
    common: dict[str, str] = {}
    own: dict[str, dict[str, str]] = {}
    for name, value in conf.items():
        key = name.removeprefix(_PREFIX)
        if key == name:
            continue
        if key in _UNDERSTOOD:
            common[key] = _text(value)
        elif key.startswith("bucket."):
            for understood in _UNDERSTOOD:
                # A bucket's name may have dots.
                if key.endswith(f".{understood}"):
                    own.setdefault(key[len("bucket.") : -len(understood) - 1], {})[understood] = (
                        _text(value)
                    )
                    break
    return {
        bucket: _settings({**common, **of_bucket}, environ)
        for bucket, of_bucket in [("", {}), *own.items()]
    }


def _text(value: Any) -> str:
    return str(value).strip().lower() if isinstance(value, bool) else str(value).strip()


def _settings(told: Mapping[str, str], environ: Mapping[str, str]) -> S3Settings:
    endpoint = told.get("endpoint") or None
    amazon = _AMAZON.match(endpoint) if endpoint else None
    region = (
        told.get("endpoint.region")
        or environ.get("AWS_REGION")
        or environ.get("AWS_DEFAULT_REGION")
    )
    if amazon is not None:
        # The region says as much, and the bucket belongs into the host's name there.
        region, endpoint = region or amazon[2], None
    if endpoint is not None:
        region = region or "us-east-1"
        if "://" not in endpoint:
            endpoint = f"{'http' if told.get('connection.ssl.enabled') == 'false' else 'https'}://{endpoint}"
    return S3Settings(
        endpoint.rstrip("/") if endpoint else None,
        region or None,
        told.get("path.style.access") == "true",
        told.get("aws.credentials.provider", "").endswith(_ANONYMOUS),
    )


def of_bucket(known: Mapping[str, S3Settings], bucket: str) -> S3Settings:
    """The settings of one bucket."""
    return known.get(bucket) or known.get("") or S3Settings()


def find_problems(
    conf: Mapping[str, Any], environ: Mapping[str, str], places: Iterable[str]
) -> list[str]:
    """What stands in the way of tables at these places, one sentence each; nothing where none is on
    S3.
    """
    buckets = list(dict.fromkeys(Uri.parse(place).authority for place in places if is_s3(place)))
    if not buckets:
        return []
    problems = [
        f"spark.conf: got {name}; allowed where tables are on s3a://: no such setting, since "
        "workers read and write tables "
        "without Hadoop (credentials come from AWS_ACCESS_KEY_ID … or the machine's role; see "
        "docs/object-stores.md)"
        for name in conf
        if name.startswith(_PREFIX) and _REFUSED.fullmatch(name.removeprefix(_PREFIX))
    ]
    known = settings_by_bucket(conf, environ)
    for bucket in buckets:
        problems += _problems_of(bucket, of_bucket(known, bucket), environ)
    return list(dict.fromkeys(problems))


def _problems_of(bucket: str, settings: S3Settings, environ: Mapping[str, str]) -> list[str]:
    problems = []
    if settings.endpoint is not None and holds_user(settings.endpoint):
        problems.append(
            f"spark.conf: {_PREFIX}endpoint: got an address with user and password; allowed: one "
            "without"
        )
    if settings.region is None:
        problems.append(
            f"s3a://{bucket}: got no region; allowed: {_PREFIX}endpoint.region in spark.conf, or "
            "AWS_REGION in the environment"
        )
    if settings.endpoint is None and (
        set_there := [name for name in _ELSEWHERE if environ.get(name)]
    ):
        problems.append(
            f"{set_there[0]}: set, but Hadoop does not read it, so Spark would ask another server; "
            f"allowed: {_PREFIX}endpoint in "
            "spark.conf"
        )
    return problems


def to_text(known: Mapping[str, S3Settings]) -> str:
    """The settings as one text, for `VARIABLE`."""
    return json.dumps(
        {bucket: asdict(settings) for bucket, settings in known.items()}, sort_keys=True
    )


def from_text(text: str | None) -> dict[str, S3Settings]:
    """The settings that `to_text` wrote; none of no text."""
    return (
        {bucket: S3Settings(**settings) for bucket, settings in json.loads(text).items()}
        if text
        else {}
    )
