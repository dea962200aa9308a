"""The shape of what `kind: http` takes: the address, paging, pace and patience.

Owns which addresses are allowed. Opens no connection.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, Field, model_validator

from batchinfer.config.fields import (
    NotAllowed,
    Number,
    Positive,
    Strict,
    VariableName,
    Whole,
)
from batchinfer.config.json_paths import read_json_path
from batchinfer.config.shapes.described import TEXT, json_schema
from batchinfer.config.time_formats import TimeFormat
from batchinfer.credentials import is_secret


def _http_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        host = parts.hostname
        _ = parts.port
    except ValueError as error:
        raise NotAllowed(
            "an address such as https://api.example.com/v1/orders", secret="@" in value
        ) from error
    if "@" in parts.netloc:
        raise NotAllowed(
            "an address without user and password; use auth_env for a token", secret=True
        )
    if parts.scheme not in ("http", "https") or not host or re.search(r"[\s\x00-\x1f\x7f]", value):
        raise NotAllowed(
            "an address such as https://api.example.com/v1/orders", secret="@" in value
        )
    if parts.fragment:
        raise NotAllowed("an address without #, which servers never see")
    names = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    secret = [name for name in names if is_secret(name)]
    if secret:
        raise NotAllowed(
            f"an address without {secret[0]}, which would stand in tables and logs; use auth_env",
            secret=True,
        )
    return value


def _path(value: str) -> str:
    read_json_path(value)
    return value


_ADDRESS = {**TEXT, "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://"}
PathText = Annotated[str, AfterValidator(_path), json_schema("a path such as a.b[0].c", TEXT)]


class Pagination(Strict):
    """How an HTTP API is asked for its next page, and how it says that there is none.

    Attributes:
        kind: how the next page is asked for.
        size_param: query parameter that carries `size`.
        param: query parameter of the page number, the offset or the cursor (page, offset, cursor).
        start: first page number (1) or offset (0).
        size: records a page that are asked for, in `size_param` (page, link: per_page; offset,
            cursor: limit).
        cursor_path: where a page says the next cursor (next_cursor); for link, where it says the
            next URL, if not in a header.
        more_path: where a page says whether another one follows, such as has_more; without it, the
            last page is told by its kind.
    """

    kind: Literal["page", "offset", "cursor", "link"]
    param: str | None = None
    start: Annotated[Whole, Field(ge=0)] | None = None
    size: Positive | None = None
    size_param: str | None = None
    cursor_path: PathText | None = None
    more_path: PathText | None = None

    @model_validator(mode="after")
    def _of_its_kind(self) -> Pagination:
        taken = {
            "param": ("page", "offset", "cursor"),
            "start": ("page", "offset"),
            "cursor_path": ("cursor", "link"),
            "more_path": ("page", "offset", "cursor"),
        }
        for name, kinds in taken.items():
            if getattr(self, name) is not None and self.kind not in kinds:
                raise NotAllowed(
                    f"{name} with kind: {' or '.join(kinds)}; {self.kind} takes no {name}"
                )
        if self.size_param is not None and self.size is None:
            raise NotAllowed("size_param together with size, the number that it carries")
        return self

    @property
    def sent(self) -> tuple[str, ...]:
        """Names of the query parameters that paging sets."""
        size = {"page": "per_page", "link": "per_page"}.get(self.kind, "limit")
        param = () if self.kind == "link" else (self.param or self.kind,)
        return (*param, self.size_param or size) if self.size is not None else param


class HttpOptions(Strict):
    """Options of `kind: http`. `auth_env` names the variable of a bearer token.

    Attributes:
        url: of the first page, without user, password or token.
        pagination: how further pages are asked for; without it there is one page.
        records_path: where a page holds its list of records; without it, the page is the list.
        rate_per_s: most requests a second.
        auth_env: the variable that holds a bearer token.
        timeout_s: seconds until a request counts as failed.
        retries: times that a failed request is made again.
        timestamp_format: of times and dates; without it ISO 8601.
    """

    url: Annotated[
        str, AfterValidator(_http_url), json_schema("an address of http or https", _ADDRESS)
    ]
    pagination: Pagination | None = None
    records_path: str | None = None
    rate_per_s: Annotated[Number, Field(gt=0)] | None = None
    auth_env: VariableName | None = None
    timeout_s: Annotated[Number, Field(gt=0)] = 30.0
    retries: Annotated[Whole, Field(ge=0)] = 5
    timestamp_format: TimeFormat | None = None

    @model_validator(mode="after")
    def _each_parameter_once(self) -> HttpOptions:
        sent = self.pagination.sent if self.pagination else ()
        twice = sorted(
            set(sent)
            & {name for name, _ in parse_qsl(urlsplit(self.url).query, keep_blank_values=True)}
        )
        if twice or len(set(sent)) < len(sent):
            what = (
                f"a url without {', '.join(twice)}"
                if twice
                else "a param and a size_param that differ"
            )
            raise NotAllowed(f"{what}: pagination sets {', '.join(sent)} (start, size)")
        return self
