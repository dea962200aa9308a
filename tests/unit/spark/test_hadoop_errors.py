"""Which of Hadoop's exceptions means what, and what no message may hold."""

from __future__ import annotations

from typing import Any

import pytest

from batchinfer.config.uris import Uri
from batchinfer.errors import BatchInferError, ConfigError, InputError, InputMissing, StorageError
from batchinfer.spark.hadoop_errors import store_faults, without_secrets

URI = Uri.parse("s3a://bucket/in")


class Throwable(Exception):
    """What py4j raises, with the calls that are asked of Java's own."""

    def __init__(self, *causes: tuple[str, str]) -> None:
        self.causes = causes
        self.java_exception = self

    def getClass(self) -> Any:  # noqa: N802 - Java's name
        return self

    def getName(self) -> str:  # noqa: N802 - Java's name
        return f"org.example.{self.causes[0][0]}"

    def getMessage(self) -> str:  # noqa: N802 - Java's name
        return self.causes[0][1]

    def getCause(self) -> Throwable | None:  # noqa: N802 - Java's name
        return Throwable(*self.causes[1:]) if len(self.causes) > 1 else None


def translated(*causes: tuple[str, str]) -> BatchInferError:
    with pytest.raises(BatchInferError) as caught, store_faults(URI, "listed", "3.4.2"):
        raise Throwable(*causes)
    return caught.value


@pytest.mark.parametrize(
    ("causes", "error"),
    [
        ([("UnknownStoreException", "x"), ("NoSuchBucketException", "y")], InputMissing),
        ([("ExecutionException", "x"), ("FileNotFoundException", "y")], InputMissing),
        ([("RemoteFileChangedException", "x")], InputError),
        (
            [
                ("RuntimeException", "x"),
                ("ClassNotFoundException", "Class org.x.S3AFileSystem not found"),
            ],
            ConfigError,
        ),
        ([("NoClassDefFoundError", "software/amazon/awssdk/x")], ConfigError),
        ([("IOException", "x"), ("ClassNotFoundException", "com.example.Nope")], ConfigError),
        ([("IllegalArgumentException", "x"), ("UnknownHostException", "host")], StorageError),
        ([("AccessDeniedException", "x"), ("S3Exception", "Status Code: 403")], StorageError),
        ([("IOException", "No space left on device")], StorageError),
    ],
)
def test_what_an_exception_means(
    causes: list[tuple[str, str]], error: type[BatchInferError]
) -> None:
    found = translated(*causes)
    assert isinstance(found, error) and isinstance(found, InputMissing) == (error is InputMissing)
    assert "s3a://bucket/in" in found.problems[0]


def test_the_package_is_named_only_where_the_file_system_is_missing() -> None:
    missing = translated(("ClassNotFoundException", "Class org.x.S3AFileSystem not found"))
    assert "org.apache.hadoop:hadoop-aws:3.4.2" in str(missing.hint)
    assert translated(("ClassNotFoundException", "com.example.Nope")).hint is None


def test_no_secret_stands_in_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-7731")
    found = translated(("IOException", "canary-7731 at https://a.example/x?sig=canary%2Fabc&n=1"))
    assert "canary" not in found.problems[0] and "?sig=***&n=1" in found.problems[0]
    assert without_secrets("a b", {"MY_TOKEN": "b"}) == "a b", (
        "too short to be one: it would eat letters"
    )


def test_what_is_no_throwable_passes() -> None:
    with pytest.raises(ZeroDivisionError), store_faults(URI, "listed", "3.4.2"):
        raise ZeroDivisionError
    with pytest.raises(StorageError, match="the JVM is gone"), store_faults(URI, "listed", "3.4.2"):
        raise ConnectionRefusedError
