"""An environment's settings of s3a://, in the words of the libraries that write tables: translated,
refused, carried along.
"""

from __future__ import annotations

import json
import os

import pytest

from batchinfer import object_stores
from batchinfer.config.environment import Environment
from batchinfer.config.s3 import (
    VARIABLE,
    S3Settings,
    find_problems,
    from_text,
    of_bucket,
    settings_by_bucket,
    to_text,
)
from batchinfer.errors import ConfigError

HADOOP = "spark.hadoop.fs.s3a."
LAKE = "s3a://lake.of.ours/tables"


def settings(environ: dict[str, str] | None = None, **conf: object) -> S3Settings:
    return of_bucket(
        settings_by_bucket(
            {HADOOP + name.replace("__", "."): value for name, value in conf.items()}, environ or {}
        ),
        "b",
    )


def test_hadoops_words_become_settings() -> None:
    assert settings() == S3Settings()
    assert settings({"AWS_REGION": "eu-west-1"}).region == "eu-west-1"
    assert (
        settings({"AWS_DEFAULT_REGION": "eu-west-1"}, endpoint__region="eu-north-1").region
        == "eu-north-1"
    )
    assert settings(endpoint="minio:9000") == S3Settings("https://minio:9000", "us-east-1")
    assert (
        settings(endpoint="minio:9000", connection__ssl__enabled=False).endpoint
        == "http://minio:9000"
    )
    assert settings(endpoint="http://minio:9000/", path__style__access=True) == S3Settings(
        "http://minio:9000", "us-east-1", True
    )
    assert settings(endpoint="s3.eu-central-1.amazonaws.com") == S3Settings(None, "eu-central-1")
    provider = "org.apache.hadoop.fs.s3a.AnonymousAWSCredentialsProvider"
    assert settings(aws__credentials__provider=provider).anonymous


def test_a_bucket_may_have_an_endpoint_of_its_own_and_dots_in_its_name() -> None:
    conf = {
        f"{HADOOP}endpoint.region": "eu-west-1",
        f"{HADOOP}bucket.lake.of.ours.endpoint": "http://here:1",
    }
    known = from_text(to_text(settings_by_bucket(conf, {})))
    assert of_bucket(known, "lake.of.ours") == S3Settings("http://here:1", "eu-west-1")
    assert of_bucket(known, "elsewhere") == S3Settings(None, "eu-west-1")


@pytest.mark.parametrize(
    "name",
    [
        "access.key",
        "secret.key",
        "session.token",
        "bucket.lake.secret.key",
        "assumed.role.arn",
        "encryption.algorithm",
        "proxy.host",
    ],
)
def test_what_workers_would_not_do_is_refused_and_not_shown(name: str) -> None:
    conf = {f"{HADOOP}endpoint.region": "eu-west-1", HADOOP + name: "canary-value"}
    [problem] = find_problems(conf, {}, [LAKE])
    assert f"got {HADOOP}{name}; allowed" in problem
    assert "canary-value" not in problem
    assert find_problems(conf, {}, ["/local/lake"]) == []


def test_a_lake_without_a_region_or_with_an_endpoint_that_spark_does_not_know() -> None:
    [problem] = find_problems({}, {}, [LAKE, LAKE])
    assert problem.startswith(
        "s3a://lake.of.ours: got no region; allowed: spark.hadoop.fs.s3a.endpoint.region"
    )
    [problem] = find_problems(
        {}, {"AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL": "http://minio"}, [LAKE]
    )
    assert problem.startswith("AWS_ENDPOINT_URL: set, but Hadoop does not read it")
    [problem] = find_problems({f"{HADOOP}endpoint": "http://user:canary@minio"}, {}, [LAKE])
    assert "user and password" in problem and "canary" not in problem


def test_what_travels_holds_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "canary-value")
    conf = {f"{HADOOP}endpoint": "http://minio:9000", f"{HADOOP}secret.key": "canary-value"}
    object_stores.use(conf, ["/local/lake"])
    assert os.environ[VARIABLE] == ""
    with pytest.raises(ConfigError):
        object_stores.use(conf, [LAKE])
    del conf[f"{HADOOP}secret.key"]
    object_stores.use(conf, [LAKE])
    text = os.environ[VARIABLE]
    assert json.loads(text)[""]["endpoint"] == "http://minio:9000"
    assert "canary" not in text + str(object_stores.delta_options(LAKE))


def test_deltalake_is_told_what_hadoop_is(monkeypatch: pytest.MonkeyPatch) -> None:
    conf = {f"{HADOOP}endpoint": "http://minio:9000", f"{HADOOP}path.style.access": True}
    monkeypatch.setenv(VARIABLE, to_text(settings_by_bucket(conf, {})))
    options = object_stores.delta_options(LAKE) or {}
    assert object_stores.delta_uri(f"{LAKE}/") == "s3://lake.of.ours/tables"
    assert options["aws_conditional_put"] == "etag"
    assert (options["aws_endpoint_url"], options["aws_allow_http"]) == ("http://minio:9000", "true")
    assert options["aws_virtual_hosted_style_request"] == "false"
    monkeypatch.setenv(
        VARIABLE,
        to_text(settings_by_bucket({f"{HADOOP}endpoint": "https://store.example.org"}, {})),
    )
    options = object_stores.delta_options("s3a://lake/tables") or {}
    assert (options["aws_endpoint_url"], options["aws_virtual_hosted_style_request"]) == (
        "https://lake.store.example.org",
        "true",
    )
    assert object_stores.delta_options("/local/lake") is None


@pytest.mark.parametrize(
    "place",
    [
        "hdfs:///lake",
        "gs://bucket/lake",
        "abfss://c@a.dfs.core.windows.net/lake",
        "s3://bucket/lake",
    ],
)
@pytest.mark.parametrize("name", ["lake", "reports"])
def test_tables_lie_on_disks_or_on_s3(name: str, place: str) -> None:
    with pytest.raises(ValueError, match=r"allowed.*s3a://"):
        Environment.model_validate({name: place})
    for allowed in ("lake", "/mnt/lake", "file:///mnt/lake", "s3a://bucket/lake"):
        assert getattr(Environment.model_validate({name: allowed}), name) == allowed


@pytest.mark.parametrize(
    ("text", "words", "hint"),
    [
        (
            "Generic S3 error 403 <Error><Code>InvalidAccessKeyId</Code><Message>no such "
            "key</Message>"
            "<AWSAccessKeyId>AKIACANARY</AWSAccessKeyId></Error>",
            "InvalidAccessKeyId: no such key",
            "refused access",
        ),
        (
            "When listing: AWS Error NO_SUCH_BUCKET during ListObjectsV2 operation: gone (Request "
            "ID: abc)",
            "AWS Error NO_SUCH_BUCKET during ListObjectsV2 operation: gone",
            "no such bucket",
        ),
        (
            "Generic S3 error: client error (Connect)",
            "Generic S3 error: client error (Connect)",
            "store's address",
        ),
        (
            "Generic S3 error: GET http://169.254.169.254/latest",
            "Generic S3 error: GET http://169.254.169.254/latest",
            "no credentials",
        ),
    ],
)
def test_what_a_store_says_is_told_without_keys_and_with_what_helps(
    text: str, words: str, hint: str
) -> None:
    told, help_ = object_stores.words_and_hint(text)
    assert told == words
    assert help_ is not None and hint in help_
