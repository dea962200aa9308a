"""What the service is told before it begins: pipelines, bounds, keys, where it listens.

These values travel from the process that watches to its workers, as JSON.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from batchinfer.config.shapes.online_stores import Target
from batchinfer.lookups.fallback_chain import FallbackChain


@dataclass(frozen=True)
class AskedPipeline:
    """How a pipeline was asked for: handed on to what scores its rows.

    Attributes:
        ref: its name or file.
        env: the environment.
        overrides: of settings.
    """

    ref: str
    env: str = "local"
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class ServedPipeline:
    """One pipeline, as far as answers need to know it.

    Attributes:
        name: in addresses.
        table: place of its predictions table.
        target: the store that is read.
        home: the state folder.
        key: names of the key columns.
        slice_unit: hour, day or month; None where slices are values of a column.
        load_command: that fills the store.
        publish_command: that publishes predictions.
        fallback: what answers for keys without a fresh prediction; None: nothing does.
        fallback_table: place of the table of these answers.
        asked: how it was asked for.
        keys_refused: why rows cannot be scored by their keys; empty: they can.
        extract_command: that lands rows.
        models_command: that tells which models there are.
        sensitive: columns whose values are not repeated to a caller, nor logged.
    """

    name: str
    table: str
    target: Target
    home: str
    key: tuple[str, ...]
    slice_unit: str | None
    load_command: str
    publish_command: str
    fallback: FallbackChain | None = None
    fallback_table: str = ""
    asked: AskedPipeline = AskedPipeline("")
    keys_refused: str = ""
    extract_command: str = ""
    models_command: str = ""
    sensitive: tuple[str, ...] = ()


@dataclass(frozen=True)
class Bounds:
    """What the service takes at most; everything beyond is refused.

    Attributes:
        keys: of one `:batch`; keys or rows of one `:predict`.
        body_bytes: of a request.
        url_bytes: path and query.
        seconds: that a request may take.
        at_once: requests that one worker works on.
        connections: that one worker holds.
        drain_s: for requests in flight, once the service is told to stop.
        models: that one worker keeps for `:predict`.
    """

    keys: int = 1_000
    body_bytes: int = 1 << 20
    url_bytes: int = 8_192
    seconds: float = 5.0
    at_once: int = 128
    connections: int = 1_000
    drain_s: float = 20.0
    models: int = 4


@dataclass(frozen=True)
class CallerKey:
    """A caller's key, without the key.

    Attributes:
        name: of the caller, in the access log.
        sha256: of the key, hexadecimal.
        pipelines: that it may read; None: all.
    """

    name: str
    sha256: str
    pipelines: tuple[str, ...] | None = None

    def may_read(self, pipeline: str) -> bool:
        return self.pipelines is None or pipeline in self.pipelines


@dataclass(frozen=True)
class Listening:
    """Where the service listens.

    Attributes:
        host, port: port 0: a free one.
        tls_cert, tls_key: files; None: plain HTTP.
        behind_proxy: a proxy in front speaks TLS.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    tls_cert: str | None = None
    tls_key: str | None = None
    behind_proxy: bool = False


@dataclass(frozen=True)
class ServiceSettings:
    """All that a worker needs.

    Attributes:
        callers: None: nobody needs a key.
        log_requests: a line of JSON for each request.
        log_keys: with the values of keys.
        warm: workers load models before they take requests.
    """

    pipelines: tuple[ServedPipeline, ...]
    listening: Listening = field(default_factory=Listening)
    bounds: Bounds = field(default_factory=Bounds)
    callers: tuple[CallerKey, ...] | None = None
    log_requests: bool = True
    log_keys: bool = False
    warm: bool = False
