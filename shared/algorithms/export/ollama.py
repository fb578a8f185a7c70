"""Models of an Ollama server over its HTTP API (github.com/ollama/ollama/blob/main/docs/api.md)."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import httpx

from shared.algorithms.export.errors import NotExportable
from shared.algorithms.export.modelfile import PARAMETERS, TEMPLATE

VARIABLE = "OLLAMA_HOST"
DEFAULT_PORT = 11434
#: Seconds without a byte from the server; creating a model says something every few seconds.
PATIENCE = 120.0
_CHUNK = 1 << 20


def server_address(given: str | None = None) -> str:
    """Address from the argument or OLLAMA_HOST, which Ollama allows to be host, host:port or a URL."""
    host = given or os.environ.get(VARIABLE)
    if not host:
        raise NotExportable(
            f"which Ollama? Name its address, or set {VARIABLE}, such as localhost:{DEFAULT_PORT}"
        )
    try:
        url = httpx.URL(host if "://" in host else f"http://{host}")
    except httpx.InvalidURL as error:
        raise NotExportable(f"{VARIABLE}: {host!r} is no address: {error}") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise NotExportable(f"{VARIABLE}: {host!r} is no HTTP address")
    port = url.port or (443 if url.scheme == "https" else DEFAULT_PORT)
    return str(url.copy_with(port=port))


class Ollama:
    """A server. Every method raises NotExportable with what the server said."""

    def __init__(self, address: str, patience: float = PATIENCE) -> None:
        self.address = address
        self._client = httpx.Client(base_url=address, timeout=patience)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def register(self, name: str, file: Path, quantise: str | None = None) -> str:
        """Upload a GGUF unless it is there, make a model of it, and return the blob's digest.

        `quantise` has Ollama quantise a file of 16 or 32 bits.
        """
        digest = self.upload(file)
        self.create(name, {file.name: digest}, quantise)
        return digest

    def upload(self, file: Path) -> str:
        """Give the server a file, once, and return its digest."""
        with file.open("rb") as stream:
            digest = f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"
        path = f"/api/blobs/{digest}"
        if self._send("HEAD", path, missing_is_fine=True).status_code == httpx.codes.NOT_FOUND:
            self._send("POST", path, content=_chunks(file))
        return digest

    def create(self, name: str, files: Mapping[str, str], quantise: str | None = None) -> None:
        """Make a model of uploaded files (name → digest), with the parameters of the Modelfile."""
        body: dict[str, Any] = {
            "model": name,
            "files": dict(files),
            "parameters": dict(PARAMETERS),
            "template": TEMPLATE,
            "stream": False,
        }
        if quantise:
            body["quantize"] = quantise
        status = self._send("POST", "/api/create", json=body).json().get("status")
        if status != "success":
            raise NotExportable(f"Ollama at {self.address}: creating {name} ended with status {status!r}")

    def show(self, name: str) -> dict[str, Any] | None:
        """What the server knows of a model, None if it has none of that name."""
        reply = self._send("POST", "/api/show", json={"model": name}, missing_is_fine=True)
        return None if reply.status_code == httpx.codes.NOT_FOUND else dict(reply.json())

    def delete(self, name: str) -> bool:
        """Delete a model; False if there was none."""
        reply = self._send("DELETE", "/api/delete", json={"model": name}, missing_is_fine=True)
        return reply.status_code != httpx.codes.NOT_FOUND

    def copy(self, source: str, destination: str) -> None:
        """Give a model another name as well, which it takes from whichever model had it."""
        self._send("POST", "/api/copy", json={"source": source, "destination": destination})

    def models(self) -> frozenset[str]:
        """Names of all models that the server has."""
        found = self._send("GET", "/api/tags").json().get("models") or []
        return frozenset(each["name"] for each in found)

    def generate(self, name: str, prompt: str, tokens: int) -> str:
        """Continue a prompt greedily, as a check that the model answers."""
        body = {
            "model": name,
            "prompt": prompt,
            "stream": False,
            "options": {"temperature": 0, "num_predict": tokens},
        }
        return str(self._send("POST", "/api/generate", json=body).json()["response"])

    def _send(self, method: str, path: str, missing_is_fine: bool = False, **content: Any) -> httpx.Response:
        try:
            reply = self._client.request(method, path, **content)
        except httpx.HTTPError as error:
            raise NotExportable(f"Ollama at {self.address}: {type(error).__name__}: {error}") from error
        missing = reply.status_code == httpx.codes.NOT_FOUND
        if not reply.is_success and not (missing and missing_is_fine):
            words = " ".join(reply.text.split())[:300]
            raise NotExportable(f"Ollama at {self.address}: {method} {path}: {reply.status_code} {words}")
        return reply


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            yield chunk
