"""A service of a few lines: ready at once, or never, dead with a message, or stuck after some seconds."""

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

METRICS = 'streamwheel_lag_records{topic="rewards",partition="0"} 3.0\n'


STARTED, ALIVE_S = time.monotonic(), 12.0


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        stuck = MODE == "stuck" and time.monotonic() > STARTED + ALIVE_S
        ready = not stuck if self.path == "/healthz" else MODE != "never"
        self.send_response(200 if ready else 503)
        self.end_headers()
        problems = [] if ready else ["model: still loading"]
        text = METRICS if self.path == "/metrics" else json.dumps({"problems": problems})
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Stay silent."""


if __name__ == "__main__":
    MODE = sys.argv[2]
    print(f"mode {MODE}", flush=True)
    if MODE == "dies":
        sys.exit("the model file is missing")
    HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
