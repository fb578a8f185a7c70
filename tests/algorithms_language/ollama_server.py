"""An Ollama server of the few endpoints that registration uses, as strict as the real one."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class State:
    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.models: dict[str, dict[str, Any]] = {}
        self.requests: list[tuple[str, str]] = []
        self.loaded: list[str] = []


@contextmanager
def serving() -> Iterator[tuple[str, State]]:
    """Its address and its state."""
    state = State()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

        def body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") == "chunked":
                parts = []
                while size := int(self.rfile.readline(), 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(parts)
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))

        def answer(self, status: int, document: dict[str, Any] | None = None) -> None:
            content = b"" if document is None else json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def handle_any(self) -> None:
            state.requests.append((self.command, self.path))
            body = self.body()
            if self.path.startswith("/api/blobs/"):
                self.blob(self.path.removeprefix("/api/blobs/"), body)
            elif self.path == "/api/tags":
                self.answer(200, {"models": [{"name": name} for name in state.models]})
            elif self.path == "/api/copy":
                self.copy(json.loads(body))
            else:
                self.model(json.loads(body))

        do_GET = do_HEAD = do_POST = do_DELETE = handle_any

        def blob(self, digest: str, body: bytes) -> None:
            if self.command == "HEAD":
                return self.answer(200 if digest in state.blobs else 404)
            if digest != f"sha256:{hashlib.sha256(body).hexdigest()}":
                return self.answer(400, {"error": "digest mismatch"})
            state.blobs[digest] = body
            return self.answer(201)

        def model(self, asked: dict[str, Any]) -> None:
            name = asked["model"]
            if self.path == "/api/create":
                return self.create(name, asked)
            if name not in state.models:
                return self.answer(404, {"error": f"model '{name}' not found"})
            if self.path == "/api/delete":
                del state.models[name]
                return self.answer(200)
            if self.path == "/api/generate":
                state.loaded.append(name)
                return self.answer(200, {"response": "" if not asked["prompt"] else "?"})
            return self.answer(200, state.models[name])

        def copy(self, asked: dict[str, Any]) -> None:
            if asked["source"] not in state.models:
                return self.answer(404, {"error": f'model "{asked["source"]}" not found'})
            state.models[asked["destination"]] = state.models[asked["source"]]
            return self.answer(200)

        def create(self, name: str, asked: dict[str, Any]) -> None:
            for digest in asked["files"].values():
                if digest not in state.blobs:
                    return self.answer(400, {"error": f"blob {digest} not found"})
                if not state.blobs[digest].startswith(b"GGUF"):
                    return self.answer(400, {"error": "invalid file magic"})
            if asked.get("quantize") not in (None, "q8_0", "q4_k_s", "q4_k_m"):
                return self.answer(400, {"error": f"unsupported quantization type {asked['quantize']}"})
            state.models[name] = {"asked": asked}
            return self.answer(200, {"status": "success"})

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
