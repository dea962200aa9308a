"""What OpenLineage calls a dataset: the rules of its naming, held against its client's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from openlineage.client.naming import dataset as naming

from batchinfer.observability.dataset_names import (
    DatasetName,
    dataset_at,
    dataset_of_address,
    dataset_of_database,
    dataset_of_model,
)


def _by_client(rule: naming.DatasetNaming) -> DatasetName:
    return DatasetName(rule.get_namespace(), rule.get_name())


@pytest.mark.parametrize(
    ("place", "rule"),
    [
        ("/data/lake/landed/p", naming.LocalFileSystem("/data/lake/landed/p")),
        ("file:///data/a%20b", naming.LocalFileSystem("/data/a b")),
        ("s3a://bucket/lake/landed/p/", naming.S3("bucket", "lake/landed/p")),
        ("gs://bucket/lake", naming.GCS("bucket", "lake")),
        (
            "abfss://box@account.dfs.core.windows.net/lake",
            naming.ABFSS("box", "account", "/lake"),
        ),
        ("hdfs://name:8020/lake/p", naming.HDFS("name", "8020", "/lake/p")),
    ],
)
def test_files_and_tables_are_called_as_the_client_calls_them(
    place: str, rule: naming.DatasetNaming
) -> None:
    assert dataset_at(place) == _by_client(rule)


@pytest.mark.parametrize(
    ("url", "table", "rule"),
    [
        (
            "jdbc:postgresql://db:5433/shop?user=me&password=secret",
            "sales.orders",
            naming.Postgres("db", "5433", "shop", "sales", "orders"),
        ),
        (
            "jdbc:postgresql://db/shop",
            "orders",
            naming.Postgres("db", "5432", "shop", "public", "orders"),
        ),
        ("jdbc:mysql://me:secret@db/shop", "orders", naming.MySQL("db", "3306", "shop", "orders")),
    ],
)
def test_tables_of_databases_are_too(url: str, table: str, rule: naming.DatasetNaming) -> None:
    found = dataset_of_database(url, table)
    assert found == _by_client(rule)
    assert "secret" not in f"{found}"


def test_what_the_rules_do_not_name_has_a_name_of_ours() -> None:
    assert dataset_of_database("jdbc:sqlite:/data/a.db?x=1", "t") == DatasetName(
        "file", "/data/a.db/t"
    )
    assert dataset_of_database("jdbc:sqlite:/data/a.db", None) == DatasetName("file", "/data/a.db")
    assert dataset_of_database("jdbc:postgresql://[::1]:1/shop", None) == DatasetName(
        "postgres://[::1]:1", "shop"
    )
    assert dataset_of_address("https://me:secret@api.example:8/v1/orders?token=x") == DatasetName(
        "https://api.example:8", "/v1/orders"
    )
    assert dataset_of_model("http://mlflow:5000/", "income") == DatasetName(
        "http://mlflow:5000", "models/income"
    )
    assert dataset_of_model("postgresql://u:secret@db/m", "income").namespace == (
        "postgresql://***@db/m"
    )


def test_a_relative_path_is_of_the_working_folder() -> None:
    assert dataset_at("x/y").name == str(Path("x/y").absolute())
