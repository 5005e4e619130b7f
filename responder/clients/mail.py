"""SMTP: one connection a message, in a thread, for the standard library's client is not asynchronous."""

import asyncio
import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Literal

from responder.domain.errors import DeliveryError

TEMPORARY = range(400, 500)
"""Replies that may be another one later (RFC 5321, section 4.2.1)."""


@dataclass(frozen=True, slots=True)
class Mailer:
    """The server that takes our mail. Raises DeliveryError. ``seconds`` bound each of its answers."""

    host: str
    port: int
    tls: Literal["starttls", "implicit", "none"] = "starttls"
    username: str = ""
    password: str = field(default="", repr=False)
    context: ssl.SSLContext | None = field(default=None, repr=False)
    hello: str | None = None
    seconds: float = 5.0

    async def send(self, message: EmailMessage, sender: str, recipient: str) -> None:
        """Hand a message over."""
        await asyncio.to_thread(self._send, message, sender, recipient)

    def greet(self) -> str:
        """Do all that comes before a message, send none, and return how the connection is kept; blocks."""
        where = f"the mail server {self.host}:{self.port}"
        try:
            with self._entered() as server:
                server.noop()
                kept = server.sock.version() if isinstance(server.sock, ssl.SSLSocket) else None
        except smtplib.SMTPResponseException as error:
            raise _refused(where, error.smtp_code, error.smtp_error) from error
        except (smtplib.SMTPException, ValueError) as error:
            raise DeliveryError(f"{where}: {error}") from error
        except OSError as error:
            why = str(error) if isinstance(error, ssl.SSLError) else error.strerror or str(error) or "no answer"
            raise DeliveryError(f"{where} cannot be reached: {why}") from error
        return kept or "in the clear"

    @contextmanager
    def _entered(self) -> Iterator[smtplib.SMTP]:
        """Connect, keep it secret and say who we are, as configured."""
        with self._connected() as server:
            if self.tls == "starttls":
                server.starttls(context=self.context or ssl.create_default_context())
            if self.username:
                server.login(self.username, self.password)
            yield server

    def _send(self, message: EmailMessage, sender: str, recipient: str) -> None:
        where = f"the mail server {self.host}:{self.port}"
        handed = False
        try:
            with self._entered() as server:
                handed = True
                server.send_message(message, sender, [recipient])
                handed = False  # it has answered: what fails from here on is only the good-bye
        except smtplib.SMTPServerDisconnected as error:
            raise DeliveryError(f"{where} hung up", uncertain=handed) from error
        except smtplib.SMTPRecipientsRefused as error:
            code, said = next(iter(error.recipients.values()))
            raise _refused(f"{where} refuses {recipient}", code, said) from error
        except smtplib.SMTPResponseException as error:
            raise _refused(where, error.smtp_code, error.smtp_error) from error
        except (smtplib.SMTPException, ValueError) as error:  # no STARTTLS, no AUTH, an address that is none
            raise DeliveryError(f"{where}: {error}", permanent=True) from error
        except TimeoutError as error:
            raise DeliveryError(f"{where} did not answer", uncertain=handed) from error
        except OSError as error:
            raise DeliveryError(f"{where} cannot be reached: {error.strerror or error}", uncertain=handed) from error

    def _connected(self) -> smtplib.SMTP:
        if self.tls == "implicit":
            context = self.context or ssl.create_default_context()
            return smtplib.SMTP_SSL(self.host, self.port, self.hello, timeout=self.seconds, context=context)
        return smtplib.SMTP(self.host, self.port, self.hello, timeout=self.seconds)


def _refused(where: str, code: int, said: bytes | str) -> DeliveryError:
    text = said.decode(errors="replace") if isinstance(said, bytes) else said
    shown = " ".join("".join(one if one.isprintable() else " " for one in text).split())[:200]
    return DeliveryError(f"{where}: {code} {shown}", permanent=code not in TEMPORARY)
