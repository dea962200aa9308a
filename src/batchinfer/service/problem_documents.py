"""Everything that goes wrong with a request, as RFC 9457 has it: a status, and a document that says
the fact, what was got and what is allowed.

Owns the kinds of problems. No document holds a stack trace, or a place inside of the service.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

MEDIA_TYPE = "application/problem+json"
# What a caller has sent is repeated up to here: its values may be as long as a request.
MOST_TOLD = 300
_MOST_ERRORS = 20


class HttpProblem(Exception):
    """A request that cannot be answered, or has no answer.

    Attributes:
        status: of HTTP.
        kind: the last part of the document's `type`.
        detail: a sentence.
        errors: one a value that is wrong: name, got, allowed.
        fields: more members of the document.
        headers: of the response.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        errors: Sequence[Mapping[str, Any]] = (),
        fields: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.kind, self.detail = status, kind, shortened(detail)
        self.errors = [dict(error) for error in errors[:_MOST_ERRORS]]
        if len(errors) > _MOST_ERRORS:
            self.errors.append({"allowed": f"and {len(errors) - _MOST_ERRORS:,} more like these"})
        self.fields, self.headers = dict(fields or {}), dict(headers or {})

    def document(self, request_id: str) -> bytes:
        """The body of the response."""
        told: dict[str, Any] = {
            "type": f"urn:batchinfer:problem:{self.kind}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors:
            told["errors"] = self.errors
        # Only ASCII: what was sent may be text that has no UTF-8.
        return json.dumps({**told, **self.fields, "request_id": request_id}).encode()


def shortened(text: str) -> str:
    """A text that is not too long to be repeated."""
    return text if len(text) <= MOST_TOLD else f"{text[:MOST_TOLD]}…"


def wrong_entry(name: str, got: Any, allowed: str) -> dict[str, str]:
    """One entry of `errors`."""
    return {"name": shortened(name), "got": shortened(repr(got)), "allowed": allowed}


def unavailable(kind: str, detail: str, after_s: int = 1) -> HttpProblem:
    """503 that passes by waiting."""
    return HttpProblem(503, kind, detail, headers={"Retry-After": str(after_s)})


def failure() -> HttpProblem:
    """500: an error that nobody foresaw."""
    return HttpProblem(500, "failed", "the service failed to answer; its log says why")
