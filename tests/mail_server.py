"""A mail server of the tests' own: a real socket that speaks as much SMTP as a client needs to hand
over a message.
"""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Mailbox:
    """What came in.

    Attributes:
        url: where the server is.
        messages: text of each, as it was sent.
        recipients: of all of them.
        logins: what clients gave after AUTH, in base64.
        refuses: answers to DATA that are no success, the first ones first.
    """

    url: str = ""
    messages: list[str] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    refuses: list[str] = field(default_factory=list)


@contextmanager
def receiving(mailbox: Mailbox) -> Iterator[Mailbox]:
    """Serves a mailbox on a free port of 127.0.0.1 while the block runs."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self._say("220 tests")
            while line := self.rfile.readline().decode().strip():
                word = line.split(" ")[0].upper()
                if word == "EHLO":
                    self._say("250-tests\r\n250 AUTH PLAIN")
                elif word == "AUTH":
                    mailbox.logins.append(line.split(" ")[-1])
                    self._say("235 welcome")
                elif word == "DATA":
                    self._data()
                elif word == "QUIT":
                    self._say("221 bye")
                    return
                else:
                    if word == "RCPT":
                        mailbox.recipients.append(line.split(":", 1)[1].strip("<>"))
                    self._say("250 ok")

        def _data(self) -> None:
            if mailbox.refuses:
                self._say(mailbox.refuses.pop(0))
                return
            self._say("354 go on")
            lines = list(iter(lambda: self.rfile.readline().decode().rstrip("\r\n"), "."))
            mailbox.messages.append("\n".join(lines))
            self._say("250 kept")

        def _say(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        mailbox.url = f"127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield mailbox
        finally:
            server.shutdown()
            thread.join(timeout=5)
