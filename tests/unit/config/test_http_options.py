"""What `kind: http` takes, and what is told before any connection is opened."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from batchinfer.config.loader import load_pipeline

HTTP = """\
name: api
source:
  kind: http
  url: https://api.example.com/v1/orders
  schema: {id: bigint, total: {type: double, path: "sum.value"}}
  key: id
  pagination: {kind: page}
model:
  uri: models:/api@champion
sink: {table: predictions/api}
"""

Problems = Callable[..., list[str]]


def test_little_is_enough(problems: Problems) -> None:
    assert problems(HTTP) == []
    source = load_pipeline("tried").pipeline.source
    assert source.kind == "http" and source.options.pagination is not None
    assert source.options.pagination.sent == ("page",)
    assert (source.options.retries, source.options.timeout_s, source.options.rate_per_s) == (
        5,
        30.0,
        None,
    )


def test_variables_are_filled_in(problems: Problems, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API", "http://localhost:8080")
    assert problems(HTTP.replace("https://api.example.com", "${API}")) == []
    assert problems(HTTP.replace("https://api.example.com", "${NO_SUCH}")) == [
        "4:3 (source.url): variable NO_SUCH is not set; allowed: set it, or give a default with "
        "${NO_SUCH:-…}"
    ]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("https://api", "ftp://api", "allowed: an address such as https://"),
        ("https://api.example.com/v1/orders", "/v1/orders", "allowed: an address such as https://"),
        (
            "https://api.example.com/v1/orders",
            "https:///v1",
            "allowed: an address such as https://",
        ),
        ("api.example.com", "api.example.com:http", "allowed: an address such as https://"),
        ("/orders", "/my orders", "allowed: an address such as https://"),
        ("/orders", '/orders#top"', "without #"),
        ("/orders", "/orders?page=4", "allowed: a url without page: pagination sets page"),
        ("{kind: page}", "{kind: pages}", "did you mean page?"),
        (
            "{kind: page}",
            "{kind: cursor, cursor_path: a..b}",
            "cannot be read; allowed: keys with dots",
        ),
        (
            "{kind: page}",
            "{kind: page, cursor_path: next}",
            "cursor_path with kind: cursor or link; page takes no cursor_path",
        ),
        ("{kind: page}", "{kind: link, param: x}", "link takes no param"),
        ("{kind: page}", "{kind: cursor, start: 1}", "cursor takes no start"),
        ("{kind: page}", "{kind: link, more_path: x}", "link takes no more_path"),
        ("{kind: page}", "{kind: page, size_param: n}", "size_param together with size"),
        ("{kind: page}", "{kind: page, size: 0}", "allowed"),
        (
            "{kind: page}",
            "{kind: page, size: 5, size_param: page}",
            "a param and a size_param that differ",
        ),
        ("key: id", "key: id\n  rate_per_s: 0", "7:3 (source.rate_per_s): got 0"),
        ("key: id", "key: id\n  retries: -1", "7:3 (source.retries): got -1"),
        ("key: id", "key: id\n  timeout_s: 0", "7:3 (source.timeout_s): got 0"),
        ("key: id", "key: id\n  records_path: a..b", "(source.records_path): got 'a..b'"),
        ("key: id", "key: id\n  auth_env: Bearer abc", "the name of an environment variable"),
    ],
)
def test_what_is_not_allowed(problems: Problems, old: str, new: str, words: str) -> None:
    assert old in HTTP
    [problem] = problems(HTTP.replace(old, new.replace('"', "")))
    assert words in problem


@pytest.mark.parametrize(
    "url",
    [
        "https://me:canary@api.example.com/orders",
        "https://canary@api.example.com/orders",
        "https://me:canary@api example/orders",
        "https://me:canary@[api/orders",
        "https://api.example.com/orders?access_token=canary",
        "https://api.example.com/orders?a=1&API-Key=canary",
    ],
)
@pytest.mark.parametrize("through", ["file", "variable"])
def test_secrets_in_the_address_are_refused_and_not_shown(
    problems: Problems, monkeypatch: pytest.MonkeyPatch, url: str, through: str
) -> None:
    monkeypatch.setenv("API_URL", url)
    [problem] = problems(
        HTTP.replace(
            "https://api.example.com/v1/orders", f'"{url if through == "file" else "${API_URL}"}"'
        )
    )
    assert "canary" not in problem and "not shown" in problem
