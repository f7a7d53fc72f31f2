"""Takes CloudEvents by HTTP and prints each as a line of JSON; its argument is the port. It runs by itself in a pod."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    """Takes every POST."""

    def log_message(self, *_: object) -> None:
        """Say nothing of requests."""

    def do_GET(self) -> None:
        """Answer probes."""
        self.send_response(200)
        self.end_headers()

    def do_POST(self) -> None:
        """Print an event."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        sys.stdout.write(json.dumps({"headers": headers, "body": body.decode(errors="replace")}) + "\n")
        sys.stdout.flush()
        self.send_response(202)
        self.end_headers()


ThreadingHTTPServer(("", int(sys.argv[1])), Handler).serve_forever()
