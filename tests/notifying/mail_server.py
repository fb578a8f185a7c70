"""A mail server of one page, as far as RFC 5321 is used here: STARTTLS, AUTH PLAIN, one mail a time."""

import asyncio
import ssl
import threading
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from email.policy import default
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "data" / "smtp"
CERTIFICATE = FOLDER / "certificate.pem"


@dataclass
class MailServer:
    """What it was told, and how it answers: each MAIL takes the next of `answers`, then 250."""

    port: int = 0
    answers: list[bytes] = field(default_factory=list)
    mails: list[Message] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    credentials: list[tuple[str, str, bool]] = field(default_factory=list)
    """User, password, and whether the connection was encrypted."""
    tries: int = 0
    arrived: threading.Condition = field(default_factory=threading.Condition)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        secure = writer.get_extra_info("ssl_object") is not None

        async def say(line: bytes) -> None:
            writer.write(line + b"\r\n")
            await writer.drain()

        await say(b"220 here")
        while line := (await reader.readline()).strip():
            verb, _, rest = line.partition(b" ")
            verb = verb.upper()
            if verb == b"EHLO":
                await say(b"250-here" if secure else b"250-here\r\n250-STARTTLS")
                await say(b"250 AUTH PLAIN" if secure else b"250 OK")
            elif verb == b"STARTTLS":
                await say(b"220 go on")
                await writer.start_tls(context())
                secure = True
            elif verb == b"AUTH":
                _, user, password = b64decode(rest.split()[1]).decode().split("\0")
                self.credentials.append((user, password, secure))
                await say(b"235 welcome" if password == "right" else b"535 no: " + password.encode())
            elif verb == b"MAIL":
                with self.arrived:
                    self.tries += 1
                    self.arrived.notify_all()
                await say(self.answers.pop(0) if self.answers else b"250 OK")
            elif verb == b"RCPT":
                self.recipients.append(rest.decode().removeprefix("TO:<").removesuffix(">"))
                await say(b"250 OK")
            elif verb == b"DATA":
                await say(b"354 go on")
                raw = await reader.readuntil(b"\r\n.\r\n")
                with self.arrived:
                    self.mails.append(message_from_bytes(raw[:-3], policy=default))
                    self.arrived.notify_all()
                await say(b"250 OK")
            elif verb == b"QUIT":
                await say(b"221 bye")
                break
            else:
                await say(b"250 OK")  # RSET, NOOP
        writer.close()

    def wait(self, mails: int = 0, tries: int = 0) -> None:
        """Until so many mails, or tries, have come."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.mails) >= mails and self.tries >= tries, 20)


def context() -> ssl.SSLContext:
    """Of a server with the tests' certificate."""
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found.load_cert_chain(CERTIFICATE, FOLDER / "key.pem")
    return found


@contextmanager
def mail_server(tls: bool = False) -> Iterator[MailServer]:
    """A server in a thread of its own while the context is open; with `tls` encrypted from the start."""
    server, ready = MailServer(), threading.Event()
    over: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        ended = asyncio.Event()
        over.append((asyncio.get_running_loop(), ended))
        async with await asyncio.start_server(
            server.talk, "127.0.0.1", 0, ssl=context() if tls else None
        ) as listening:
            server.port = listening.sockets[0].getsockname()[1]
            ready.set()
            await ended.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(20)
    try:
        yield server
    finally:
        loop, ended = over[0]
        loop.call_soon_threadsafe(ended.set)
        thread.join()
