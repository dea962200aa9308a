"""How a message leaves: a webhook, or mail.

Owns the time limit, the second try, and that no reason shows an address or a secret: what libraries
say of a failure is not repeated. Must not know what a message is about.
"""

from __future__ import annotations

import os
import smtplib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from batchinfer.config.pipeline import Notice

LIMIT_S = 10.0
"""How long one try may take."""

_PAUSE_S = 1.0
_HERE = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Message:
    """What is sent.

    Attributes:
        subject: one line.
        text: for people.
        facts: the same for machines; a webhook gets them beside `text`.
    """

    subject: str
    text: str
    facts: Mapping[str, Any] = field(default_factory=dict)


class _NotSent(Exception):
    """Why a try failed, in words of ours.

    Attributes:
        is_final: another try would only send it twice.
    """

    def __init__(self, reason: str, is_final: bool = False) -> None:
        super().__init__(reason)
        self.is_final = is_final


def send(notice: Notice, message: Message, limit_s: float = LIMIT_S) -> str | None:
    """Sends a message, with a second try; returns why it could not be sent, or None.

    Runs on: driver.
    """
    variable = notice.webhook_env or notice.smtp_env or ""
    address = os.environ.get(variable, "")
    deliver = _post if notice.webhook_env else _mail
    reason = None
    for attempt in (1, 2):
        if attempt == 2:
            time.sleep(_PAUSE_S)
        failure = _within(limit_s, lambda: deliver(address, notice, message, limit_s))
        if failure is None:
            return None
        reason = f"{variable}: {failure}"
        if failure.is_final:
            break
    return reason


def _within(limit_s: float, work: Callable[[], None]) -> _NotSent | None:
    """Runs the work in a thread, so that a server which sends a byte now and then cannot hold the
    night.
    """
    ended: list[_NotSent | None] = []

    def run() -> None:
        try:
            work()
            ended.append(None)
        except _NotSent as failure:
            ended.append(failure)
        except TimeoutError:
            ended.append(_NotSent(f"no answer within {limit_s:g} s"))
        except smtplib.SMTPResponseException as error:
            ended.append(_NotSent(f"the server answered {error.smtp_code}"))
        except (OSError, ValueError, smtplib.SMTPException) as error:
            ended.append(_NotSent(type(error).__name__))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(limit_s + 1)
    return ended[0] if ended else _NotSent(f"no answer within {limit_s:g} s")


def _post(address: str, _: Notice, message: Message, limit_s: float) -> None:
    import requests

    try:
        answer = requests.post(
            address,
            json={"text": message.text, **message.facts},
            timeout=limit_s,
            # A redirect would make a GET of it, or take it to another host.
            allow_redirects=False,
            headers={"User-Agent": "batchinfer"},
            # requests takes no password from ~/.netrc where this is set.
            auth=lambda request: request,
        )
    except requests.Timeout as error:
        raise TimeoutError from error
    if not 200 <= answer.status_code < 300:
        raise _NotSent(f"the server answered {answer.status_code}")


def _mail(address: str, notice: Notice, message: Message, limit_s: float) -> None:
    place = urlsplit(address)
    mail = EmailMessage()
    mail["Subject"] = message.subject
    mail["From"] = _sender(place, notice)
    mail["To"] = ", ".join(notice.to)
    mail.set_content(message.text)
    with _connected(place, limit_s) as server:
        refused = server.send_message(mail)
    if refused:
        raise _NotSent(
            f"the server refused {len(refused)} of {len(notice.to)} recipients", is_final=True
        )


def _sender(place: SplitResult, notice: Notice) -> str:
    """The user of the server where that is an address, else the first recipient."""
    user = unquote(place.username or "")
    return user if "@" in user else notice.to[0]


def _connected(place: SplitResult, limit_s: float) -> smtplib.SMTP:
    import ssl

    host, user = place.hostname or "", unquote(place.username or "")
    if place.scheme == "smtps":
        context = ssl.create_default_context()
        server = smtplib.SMTP_SSL(host, place.port or 465, timeout=limit_s, context=context)
        is_secret = True
    else:
        server = smtplib.SMTP(host, place.port or (587 if user else 25), timeout=limit_s)
        server.ehlo()
        is_secret = server.has_extn("starttls")
        if is_secret:
            server.starttls(context=ssl.create_default_context())
    if user:
        if not is_secret and host not in _HERE:
            server.close()
            raise _NotSent("the server offers no TLS, so it is shown no password", is_final=True)
        server.login(user, unquote(place.password or ""))
    return server
