"""An HTTP server that webhooks post to."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Hooks:
    """A server that notes what is posted, and answers with the statuses it is given, then 200."""

    def __init__(self) -> None:
        self.posted: list[tuple[str, dict[str, object]]] = []
        self.statuses: list[int] = []
        self.arrived = threading.Condition()
        hooks = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with hooks.arrived:
                    status = hooks.statuses.pop(0) if hooks.statuses else 200
                    hooks.posted.append((self.path, body))
                    hooks.arrived.notify_all()
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def wait(self, number: int) -> None:
        """Until so many posts have come."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.posted) >= number, 10)

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
