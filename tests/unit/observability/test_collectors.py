"""Which collectors an environment names: what it writes, what variables hold, what is refused."""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from batchinfer.config.loader import load_environment, load_state
from batchinfer.config.shapes.collector_settings import Observability
from batchinfer.credentials import without_credentials
from batchinfer.errors import ConfigError, SetupError
from batchinfer.observability import collectors
from batchinfer.observability.collectors import Collectors, find_collectors

STANDARD = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel:4318/base/",
    "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=a%20b, authorization=Bearer%20otel-secret-1",
    "OPENLINEAGE_URL": "https://marquez:5000",
    "OPENLINEAGE_API_KEY": "marquez-secret-1",
    "OPENLINEAGE_NAMESPACE": "nightly jobs",
}


def _found(settings: dict[str, Any], variables: dict[str, str] | None = None) -> Collectors:
    return find_collectors(Observability.model_validate(settings), "local", variables or {})


def test_without_a_setting_nobody_is_told_whatever_the_variables_say() -> None:
    assert _found({}, STANDARD).are_none


def test_an_empty_setting_goes_by_the_standard_variables() -> None:
    found = _found({"otlp": {}, "openlineage": {}}, STANDARD)
    assert found.otlp is not None and found.openlineage is not None
    assert found.otlp.address == "http://otel:4318/base/v1/metrics"
    assert found.otlp.headers == {"x-tenant": "a b", "authorization": "Bearer otel-secret-1"}
    assert found.openlineage.address == "https://marquez:5000/api/v1/lineage"
    assert found.openlineage.headers == {"Authorization": "Bearer marquez-secret-1"}
    assert found.namespace == "nightly jobs"
    assert without_credentials("otel-secret-1 marquez-secret-1") == "*** ***"


def test_the_variable_of_metrics_alone_is_the_whole_address() -> None:
    own = {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://metrics:4318/in"}
    own["OTEL_EXPORTER_OTLP_METRICS_HEADERS"] = "x-tenant=c"
    found = _found({"otlp": {}}, {**STANDARD, **own})
    assert found.otlp is not None and found.otlp.address == "http://metrics:4318/in"
    assert found.otlp.headers["x-tenant"] == "c"


def test_a_written_address_is_sent_no_secret_of_a_standard_variable() -> None:
    found = _found(
        {"otlp": {"endpoint": "http://here:4318"}, "openlineage": {"url": "http://here:5000/"}},
        STANDARD,
    )
    assert found.otlp is not None and found.openlineage is not None
    assert (found.otlp.address, found.otlp.headers) == ("http://here:4318/v1/metrics", {})
    assert found.openlineage.address == "http://here:5000/api/v1/lineage"
    assert found.openlineage.headers == {}
    assert (
        _found({"openlineage": {"url": "http://x", "namespace": "own"}}, STANDARD).namespace
        == "own"
    )
    assert _found({"openlineage": {"url": "http://x"}}).namespace == "batchinfer"


def test_named_variables_hold_addresses_headers_and_keys() -> None:
    found = _found(
        {
            "otlp": {"endpoint_env": "A", "headers_env": "B"},
            "openlineage": {"url_env": "C", "api_key_env": "D"},
        },
        {"A": "https://me:pass%40word@otel/x", "B": "a=1,,b=2", "C": "http://m", "D": " a-key "},
    )
    assert found.otlp is not None and found.openlineage is not None
    told = base64.b64encode(b"me:pass@word").decode()
    assert found.otlp.address == "https://otel/x/v1/metrics", "the user is no part of it"
    assert found.otlp.headers == {"Authorization": f"Basic {told}", "a": "1", "b": "2"}
    assert found.openlineage.headers == {"Authorization": "Bearer a-key"}
    assert without_credentials(f"pass@word {told}") == "*** ***"


@pytest.mark.parametrize(
    ("settings", "variables", "problems"),
    [
        ({"otlp": {}}, {}, ["observability.otlp: variable OTEL_EXPORTER_OTLP_ENDPOINT is not set"]),
        ({"openlineage": {}}, {"OPENLINEAGE_URL": " "}, ["variable OPENLINEAGE_URL is not set"]),
        (
            {"otlp": {"endpoint_env": "A"}, "openlineage": {"url_env": "B", "api_key_env": "C"}},
            {},
            ["otlp.endpoint_env: variable A", "url_env: variable B", "api_key_env: variable C"],
        ),
        ({"openlineage": {"url_env": "A"}}, {"A": "ftp://secretword"}, ["holds no such address"]),
        ({"openlineage": {"url_env": "A"}}, {"A": "http://x:99999"}, ["holds no such address"]),
        ({"openlineage": {"url_env": "A"}}, {"A": "http://x?k=secretword"}, ["holds no such"]),
        (
            {"otlp": {"endpoint_env": "A"}},
            {"A": "http://x/v1/metrics/"},
            ["ends in /v1/metrics; allowed: the address without it"],
        ),
        ({"otlp": {"endpoint": "http://x", "headers_env": "A"}}, {"A": "secretword"}, ["headers"]),
        ({"otlp": {"endpoint": "http://x", "headers_env": "A"}}, {"A": "a b=c"}, ["headers"]),
        ({"otlp": {"endpoint": "http://x", "headers_env": "A"}}, {"A": "a=b%0Ac: d"}, ["headers"]),
        ({"openlineage": {"url": "http://x", "api_key_env": "A"}}, {"A": "ab"}, ["2 characters"]),
        ({"openlineage": {"url": "http://x", "api_key_env": "A"}}, {"A": "ab\ncd"}, ["one line"]),
    ],
)
def test_variables_that_hold_something_else_are_refused_all_at_once(
    settings: dict[str, Any], variables: dict[str, str], problems: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        _found(settings, variables)
    assert len(caught.value.problems) == len(problems)
    for told, expected in zip(caught.value.problems, problems, strict=True):
        assert told.startswith("environment local: observability.") and expected in told
        assert "allowed: " in told and "secretword" not in told


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("otlp: {endpoint: 'http://u:p@h'}", r"otlp.endpoint.*stands in a variable"),
        ("otlp: {endpoint: 'otel:4318'}", r"otlp.endpoint\): got 'otel:4318'; allowed: an address"),
        ("otlp: {endpoint: 'http://h/v1/metrics'}", r"allowed: the address without /v1/metrics"),
        ("openlineage: {url: 'http://h/api/v1/lineage'}", r"the address without /api/v1/lineage"),
        ("openlineage: {url: 'http://h?x=1'}", r"without user, password, \? and #"),
        ("openlineage: {url: 'http://h', url_env: H}", r"both url and url_env"),
        ("otlp: {endpoint: 'http://h', endpoint_env: H}", r"both endpoint and endpoint_env"),
        ("openlineage: {api_key: abc}", r"api_key.*did you mean api_key_env"),
        ("openlineage: {namespace: ' '}", r"openlineage.namespace"),
        (
            "prometheus: {folder: 's3://b/x'}",
            r"folder\): got 's3://b/x'; allowed: a folder",
        ),
        ("prometheus: {}", r"prometheus.folder.*missing"),
        ("promtheus: {folder: x}", r"did you mean prometheus"),
    ],
)
def test_a_setting_that_is_none_is_refused_with_its_place(
    tmp_path: Path, text: str, problem: str
) -> None:
    folder = tmp_path / "conf" / "environments"
    folder.mkdir(parents=True)
    (folder / "local.yaml").write_text(f"observability:\n  {text}\n")
    with pytest.raises(ConfigError) as caught:
        load_environment("local", tmp_path)
    [told] = caught.value.problems
    assert "local.yaml:2:" in told and re.search(problem, told), told
    assert "u:p@" not in told


def test_a_relative_folder_is_below_the_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BATCHINFER_HOME", raising=False)
    folder = tmp_path / "conf" / "environments"
    folder.mkdir(parents=True)
    (folder / "local.yaml").write_text("observability: {prometheus: {folder: metrics}}\n")
    environment, home = load_state("local", tmp_path)
    assert environment.observability.prometheus is not None
    assert environment.observability.prometheus.folder == str(home / "metrics")


@pytest.mark.parametrize(
    ("name", "settings", "package"),
    [
        (collectors.OTLP, {"otlp": {"endpoint": "http://x"}}, "opentelemetry-exporter-otlp"),
        (collectors.OPENLINEAGE, {"openlineage": {"url": "http://x"}}, "openlineage-python"),
    ],
)
def test_a_package_that_is_missing_is_told_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, name: str, settings: dict[str, Any], package: str
) -> None:
    missing = {"module": "nowhere_at_all.client", "inside": "batchinfer.nowhere"}
    for module in missing.values():
        monkeypatch.setitem(collectors._NEEDED, name, (module, package))
        with pytest.raises(SetupError, match=f"{package}.* is not installed") as caught:
            _found(settings)
        assert caught.value.hint == "pip install 'batchinfer[observability]'"
        assert caught.value.exit_code == 2


def test_the_modules_that_are_looked_for_are_those_that_are_used() -> None:
    """Each library is loaded where it is used, and by nothing else of the package."""
    script = (
        "import sys\n"
        "from batchinfer.pipeline.observed import observed_run, run_datasets\n"
        "print([n for n in sys.modules if n.split('.')[0] in ('openlineage', 'opentelemetry',"
        " 'requests')])\n"
        "from batchinfer.observability.otlp_metrics import otlp_request\n"
        "from batchinfer.observability.lineage_events import lineage_id\n"
        "otlp_request([], 1.0), lineage_id('20261121T021500-1f2e3d4c')\n"
        "from batchinfer.observability.collectors import _NEEDED\n"
        "print([module for module, _ in _NEEDED.values() if module not in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True, text=True, env=dict(os.environ), check=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["[]", "[]"]
