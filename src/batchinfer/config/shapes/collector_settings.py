"""Whom runs tell of themselves, in an environment file: a folder of Prometheus' node exporter, a
collector of OpenTelemetry, a collector of OpenLineage.

Owns the fields, and that no secret stands in a file. Sends nothing.
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, model_validator

from batchinfer.config.fields import NotAllowed, Place, Strict, VariableName
from batchinfer.config.shapes.described import TEXT, json_schema
from batchinfer.credentials import holds_user

METRICS_PATH = "/v1/metrics"
"""Where a collector of OTLP takes metrics, below its address."""
EVENTS_PATH = "/api/v1/lineage"
"""Where a collector of OpenLineage takes events, below its address."""
_ALLOWED = "an address such as http://collector:4318, without user, password, ? and #"


def check_address(value: str) -> None:
    """Whether text is the address of a server that takes POST requests.

    Raises:
        ValueError: it is none, or has a query or a fragment.
    """
    place = urlsplit(value)
    if place.scheme not in ("http", "https") or not place.hostname:
        raise ValueError("no http:// or https:// with a host")
    if place.port == 0 or "?" in value or "#" in value or any(ord(one) <= 32 for one in value):
        raise ValueError("a port 0, a query, a fragment or a space")


def _address(value: str) -> str:
    if holds_user(value) or "?" in value or "#" in value:
        raise NotAllowed(f"{_ALLOWED}; one with a secret stands in a variable", secret=True)
    try:
        check_address(value)
    except ValueError as error:
        raise NotAllowed(_ALLOWED) from error
    for path in (METRICS_PATH, EVENTS_PATH):
        if urlsplit(value).path.rstrip("/").endswith(path):
            raise NotAllowed(f"the address without {path}, which is added")
    return value


def _local_folder(value: str) -> str:
    if "://" in value or not value.strip():
        raise NotAllowed("a folder of the machine that runs the command, no URI")
    return value


Address = Annotated[str, AfterValidator(_address), json_schema("an address of http or https", TEXT)]
LocalFolder = Annotated[Place, AfterValidator(_local_folder)]


def _namespace(value: str) -> str:
    if not value.strip() or any(ord(letter) < 32 for letter in value):
        raise NotAllowed("a text of one line that is not empty")
    return value


class PrometheusFiles(Strict):
    """Text files that Prometheus' node exporter reads.

    Attributes:
        folder: that of its textfile collector; relative paths start at the state folder.
    """

    folder: LocalFolder


class OtlpCollector(Strict):
    """A collector that takes metrics by OTLP over HTTP.

    Without an address of its own, the standard variables of OpenTelemetry say where it is and which
    headers it wants.

    Attributes:
        endpoint: its address, to which /v1/metrics is added; this or `endpoint_env`, or neither.
        endpoint_env: the variable with that address.
        headers_env: the variable with headers, as in `name=value,name=value`.
    """

    endpoint: Address | None = None
    endpoint_env: VariableName | None = None
    headers_env: VariableName | None = None

    @model_validator(mode="after")
    def _one_address(self) -> OtlpCollector:
        if self.endpoint is not None and self.endpoint_env is not None:
            raise ValueError("got both endpoint and endpoint_env; allowed: one of the two, or none")
        return self


class OpenLineageCollector(Strict):
    """A collector of OpenLineage events.

    Without an address of its own, the standard variables of OpenLineage say where it is and which
    key it wants.

    Attributes:
        url: its address, to which /api/v1/lineage is added; this or `url_env`, or neither.
        url_env: the variable with that address.
        api_key_env: the variable with the key that is sent as a bearer token.
        namespace: of the jobs; without it that of OPENLINEAGE_NAMESPACE, else `batchinfer`.
    """

    url: Address | None = None
    url_env: VariableName | None = None
    api_key_env: VariableName | None = None
    namespace: Annotated[str, AfterValidator(_namespace)] | None = None

    @model_validator(mode="after")
    def _one_address(self) -> OpenLineageCollector:
        if self.url is not None and self.url_env is not None:
            raise ValueError("got both url and url_env; allowed: one of the two, or none")
        return self


class Observability(Strict):
    """Whom each run tells of itself.

    Attributes:
        prometheus: text files with the figures of each pipeline's last runs.
        otlp: a collector that is sent the same figures.
        openlineage: a collector that is sent an event when a run begins, and one when it ends.
    """

    prometheus: PrometheusFiles | None = None
    otlp: OtlpCollector | None = None
    openlineage: OpenLineageCollector | None = None
