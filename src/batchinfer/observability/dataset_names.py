"""What OpenLineage calls a dataset: a namespace, which is a storage system, and a name in it.

Owns the rules. Opens nothing.

Source: OpenLineage, Dataset naming.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from batchinfer.config.uris import local_path
from batchinfer.credentials import without_credentials

# Hadoop's and other libraries' words for the same stores.
_SCHEMES = {"s3a": "s3", "s3n": "s3", "s3": "s3", "gs": "gs", "gcs": "gs", "abfs": "abfss"}
_KEYED = ("s3", "gs")
_PORTS = {"postgresql": 5432, "mysql": 3306, "mariadb": 3306, "sqlserver": 1433}
_PRODUCTS = {"postgresql": "postgres", "mariadb": "mysql"}


@dataclass(frozen=True)
class DatasetName:
    """How every event calls the same dataset."""

    namespace: str
    name: str


def dataset_at(place: str) -> DatasetName:
    """The name of a file, a folder or a table at a path or a URI. A local path is absolute.

    Of a store, the bucket is the namespace: `s3://bucket`, `gs://bucket`,
    `abfss://container@account.dfs.core.windows.net`, `hdfs://host:port`.
    """
    path = local_path(place)
    if path is not None:
        return DatasetName("file", str(path))
    scheme, _, rest = without_credentials(place).partition("://")
    authority, _, inside = rest.partition("/")
    scheme = _SCHEMES.get(scheme.lower(), scheme.lower())
    inside = inside.strip("/")
    return DatasetName(f"{scheme}://{authority}", inside if scheme in _KEYED else f"/{inside}")


def dataset_of_address(url: str) -> DatasetName:
    """The name of what an HTTP API gives: its host, and the path without a query."""
    parts = urlsplit(without_credentials(url))
    host = parts.netloc.rpartition("@")[2]
    return DatasetName(f"{parts.scheme}://{host}", parts.path or "/")


def dataset_of_database(jdbc: str, table: str | None) -> DatasetName:
    """The name of a table in a database, or of the database where a query is read.

    Args:
        jdbc: a JDBC URL; users and passwords in it are left out.
        table: as SQL names it; of PostgreSQL one without a schema is of `public`.
    """
    product = jdbc.split(":", 2)[1].lower()
    if product == "sqlite":
        file = jdbc.split(":", 2)[2].partition("?")[0].removeprefix("file:")
        return DatasetName("file", file if table is None else f"{file}/{table}")
    server = re.search(r"//(?P<rest>[^?;]*)", jdbc)
    parts = urlsplit(f"//{server['rest'] if server else ''}")
    host, database = parts.hostname or "localhost", unquote(parts.path).strip("/")
    host = f"[{host}]" if ":" in host else host
    port = parts.port or _PORTS.get(product)
    namespace = f"{_PRODUCTS.get(product, product)}://{host}" + (f":{port}" if port else "")
    if table is not None and product == "postgresql" and "." not in table:
        table = f"public.{table}"
    return DatasetName(namespace, ".".join(part for part in (database, table) if part) or product)


def dataset_of_model(registry: str, model: str) -> DatasetName:
    """The name of a registered model. OpenLineage has no rule for one: here the namespace is the
    address of the registry.
    """
    return DatasetName(without_credentials(registry).rstrip("/"), f"models/{model}")
