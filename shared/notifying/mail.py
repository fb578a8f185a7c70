"""Messages as e-mail over SMTP (RFC 5321), encrypted unless told otherwise."""

import json
import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path
from typing import Literal

from shared.notifying.messages import Message, Undelivered

TIMEOUT_S = 10.0
"""Of each step of the conversation."""
Encryption = Literal["starttls", "tls", "none"]


@dataclass(frozen=True)
class Server:
    """Who takes mail. Connections are encrypted at once with `tls`, on request with `starttls`."""

    host: str
    port: int
    encryption: Encryption = "starttls"
    username: str = ""
    password: str = ""
    ca_file: Path | None = None
    """Certificates to trust instead of the system's."""


class Mail:
    """Sends each message on a connection of its own: they are few."""

    def __init__(self, server: Server, sender: str, recipients: Sequence[str]) -> None:
        self._server, self._sender, self._recipients = server, sender, tuple(recipients)

    def send(self, message: Message) -> None:
        """Hand it to the server. Raises Undelivered."""
        try:
            with self._connected() as smtp:
                if self._server.username:
                    smtp.login(self._server.username, self._server.password)
                refused = smtp.send_message(self._composed(message))
        except smtplib.SMTPResponseException as error:  # its text may repeat what was sent
            raise Undelivered(f"the mail server answered {error.smtp_code}") from error
        except (OSError, ValueError) as error:  # smtplib's other errors are OSErrors
            raise Undelivered(f"the mail server: {type(error).__name__}") from error
        if refused:
            raise Undelivered(f"the mail server refused {len(refused)} of {len(self._recipients)} recipients")

    def close(self) -> None:
        """Nothing is open between messages."""

    def _connected(self) -> smtplib.SMTP:
        server = self._server
        if server.encryption == "none":
            return smtplib.SMTP(server.host, server.port, timeout=TIMEOUT_S)
        context = ssl.create_default_context(cafile=server.ca_file)
        if server.encryption == "tls":
            return smtplib.SMTP_SSL(server.host, server.port, timeout=TIMEOUT_S, context=context)
        smtp = smtplib.SMTP(server.host, server.port, timeout=TIMEOUT_S)
        try:
            smtp.starttls(context=context)
        except BaseException:
            smtp.close()
            raise
        return smtp

    def _composed(self, message: Message) -> EmailMessage:
        mail = EmailMessage()
        mail["Subject"] = " ".join(message.subject.split())
        mail["From"], mail["To"] = self._sender, ", ".join(self._recipients)
        mail["Date"], mail["Message-ID"] = formatdate(), make_msgid(domain="streamwheel.invalid")
        details = json.dumps(message.document, indent=2, ensure_ascii=False, default=str)
        mail.set_content(f"{message.text}\n\n{details}\n")
        return mail
