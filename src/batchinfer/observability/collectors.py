"""The collectors that an environment names, with their addresses: written, or read from variables.

Owns which variables are read, and that what they hold is hidden in every text from then on. Sends
nothing.
"""

from __future__ import annotations

import base64
import importlib.util
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from batchinfer.config.shapes.collector_settings import (
    EVENTS_PATH,
    METRICS_PATH,
    Observability,
    OpenLineageCollector,
    OtlpCollector,
    check_address,
)
from batchinfer.credentials import keep_secrets, too_short
from batchinfer.errors import ConfigError, SetupError
from batchinfer.observability.collector_post import Collector

PROMETHEUS = "observability.prometheus"
OTLP = "observability.otlp"
OPENLINEAGE = "observability.openlineage"
_NAMESPACE = "OPENLINEAGE_NAMESPACE"
_INSTALL = "pip install 'batchinfer[observability]'"
# A module of each library, looked for before the work; and the package that brings it.
_NEEDED = {
    OTLP: ("opentelemetry.exporter.otlp.proto.common", "opentelemetry-exporter-otlp-proto-http"),
    OPENLINEAGE: ("openlineage.client", "openlineage-python"),
}


@dataclass(frozen=True)
class Collectors:
    """Whom a run tells of itself; None: not that one.

    Attributes:
        folder: of the text files for Prometheus.
        namespace: of the jobs in OpenLineage.
    """

    folder: Path | None = None
    otlp: Collector | None = None
    openlineage: Collector | None = None
    namespace: str = ""

    @property
    def are_none(self) -> bool:
        return self.folder is None and self.otlp is None and self.openlineage is None


def find_collectors(
    settings: Observability, environment: str, variables: Mapping[str, str]
) -> Collectors:
    """The collectors that an environment names, each with its address. What the variables hold of
    secrets is kept, so that no text of this process shows it.

    Args:
        environment: its name, for the errors.
        variables: those of the process.

    Runs on: driver.

    Raises:
        ConfigError: every variable that is not set, or holds something else than it should.
        SetupError: a package that one of them needs is not installed.
    """
    reading = _Reading(variables)
    otlp = reading.otlp(settings.otlp) if settings.otlp else None
    openlineage = reading.openlineage(settings.openlineage) if settings.openlineage else None
    if reading.problems:
        raise ConfigError([f"environment {environment}: {each}" for each in reading.problems])
    _check_packages([one.name for one in (otlp, openlineage) if one is not None])
    folder = None if settings.prometheus is None else Path(settings.prometheus.folder)
    written = settings.openlineage.namespace if settings.openlineage else None
    namespace = written or variables.get(_NAMESPACE, "").strip() or "batchinfer"
    return Collectors(folder, otlp, openlineage, namespace)


def why_unreachable(collector: Collector, timeout_s: float) -> str | None:
    """Why nothing answers at a collector's address; None where something takes connections there.
    Sends nothing.

    Runs on: driver.
    """
    place = urlsplit(collector.address)
    port = place.port or (443 if place.scheme == "https" else 80)
    try:
        socket.create_connection((place.hostname or "", port), timeout_s).close()
    except OSError as error:
        return error.strerror or type(error).__name__
    return None


def _check_packages(names: list[str]) -> None:
    for name in names:
        module, package = _NEEDED[name]
        if not _is_there(module):
            raise SetupError(
                f"the package {package} is not installed, and {name} needs it; allowed: batchinfer "
                "with the extra observability, or an environment without that setting",
                _INSTALL,
            )


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # a package above it is missing
        return False


class _Reading:
    """Reads variables, and gathers what is wrong with them."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self.problems: list[str] = []

    def otlp(self, settings: OtlpCollector) -> Collector:
        standard = settings.endpoint is None and settings.endpoint_env is None
        own = f"{OTLP}.endpoint_env"
        if settings.endpoint is not None:
            address, headers = settings.endpoint.rstrip("/") + METRICS_PATH, dict[str, str]()
        elif settings.endpoint_env is not None:
            address, headers = self._address(settings.endpoint_env, METRICS_PATH, own)
        elif self._variables.get("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"):
            # By the specification that one is the whole address.
            address, headers = self._address("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "", OTLP)
        else:
            address, headers = self._address("OTEL_EXPORTER_OTLP_ENDPOINT", METRICS_PATH, OTLP)
        if settings.headers_env is not None:
            headers |= self._headers(settings.headers_env, f"{OTLP}.headers_env")
        elif standard:
            for variable in ("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_METRICS_HEADERS"):
                if self._variables.get(variable):
                    headers |= self._headers(variable, OTLP)
        return Collector(OTLP, address, headers)

    def openlineage(self, settings: OpenLineageCollector) -> Collector:
        standard = settings.url is None and settings.url_env is None
        if settings.url is not None:
            address, headers = settings.url.rstrip("/") + EVENTS_PATH, dict[str, str]()
        elif settings.url_env is not None:
            address, headers = self._address(
                settings.url_env, EVENTS_PATH, f"{OPENLINEAGE}.url_env"
            )
        else:
            address, headers = self._address("OPENLINEAGE_URL", EVENTS_PATH, OPENLINEAGE)
        if settings.api_key_env is not None:
            headers |= self._key(settings.api_key_env, f"{OPENLINEAGE}.api_key_env")
        elif standard and self._variables.get("OPENLINEAGE_API_KEY"):
            headers |= self._key("OPENLINEAGE_API_KEY", OPENLINEAGE)
        return Collector(OPENLINEAGE, address, headers)

    def _value(self, variable: str, setting: str) -> str | None:
        value = self._variables.get(variable, "").strip()
        if not value:
            self.problems.append(f"{setting}: variable {variable} is not set; allowed: set it")
            return None
        return value

    def _address(self, variable: str, path: str, setting: str) -> tuple[str, dict[str, str]]:
        """The whole address of a variable without its user, and the header that says who asks."""
        value = self._value(variable, setting)
        if value is None:
            return "", {}
        try:
            check_address(value)
        except ValueError:
            # Not what it holds: that may be a secret.
            self.problems.append(
                f"{setting}: variable {variable} holds no such address; allowed: http://HOST or "
                "https://HOST, without ? and #"
            )
            return "", {}
        if path and urlsplit(value).path.rstrip("/").endswith(path):
            self.problems.append(
                f"{setting}: variable {variable} holds an address that ends in {path}; allowed: "
                "the address without it, as it is added"
            )
        place = urlsplit(value)
        host = place.netloc.rpartition("@")[2]
        address = f"{place.scheme}://{host}{place.path.rstrip('/')}{path}"
        if place.username is None:
            return address, {}
        user, password = unquote(place.username), unquote(place.password or "")
        told = base64.b64encode(f"{user}:{password}".encode()).decode()
        keep_secrets((value, password or user, told))
        return address, {"Authorization": f"Basic {told}"}

    def _headers(self, variable: str, setting: str) -> dict[str, str]:
        """Headers as the specification of OTLP writes them: `name=value`, with commas between, and
        values as in an address.
        """
        found: dict[str, str] = {}
        for pair in (self._value(variable, setting) or "").split(","):
            name, sign, value = (part.strip() for part in pair.partition("="))
            value = unquote(value)
            if not pair.strip():
                continue
            is_text = value.isprintable() and value.isascii()
            if not sign or not _is_token(name) or not is_text:
                self.problems.append(
                    f"{setting}: variable {variable} holds something else than headers; allowed: "
                    "name=value,name=value"
                )
                return {}
            # A scheme such as Bearer stands before the secret itself.
            keep_secrets((value, value.split(" ")[-1]))
            found[name] = value
        return found

    def _key(self, variable: str, setting: str) -> dict[str, str]:
        key = self._value(variable, setting)
        if key is None:
            return {}
        if reason := too_short(key):
            self.problems.append(f"{setting}: variable {variable} holds {reason}")
        elif not (key.isprintable() and key.isascii()):
            self.problems.append(
                f"{setting}: variable {variable} holds more than one line, or other letters than "
                "headers have; allowed: the key alone"
            )
        else:
            keep_secrets((key,))
        return {"Authorization": f"Bearer {key}"}


def _is_token(name: str) -> bool:
    return bool(name) and name.isascii() and name.replace("-", "").replace("_", "").isalnum()
