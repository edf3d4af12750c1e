"""A small server on this machine that speaks the protocol of OpenAI's chat completions, for tests of judges."""

import base64
import io
import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from PIL import Image

from unveil.metrics.query_picture import GAP, MARGIN, SIDE


class Server(ThreadingHTTPServer):
    """Answers as it is told, and remembers what it was asked."""

    daemon_threads, block_on_close = True, False

    def __init__(self, answer):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer, self.asked = answer, []
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, dict(self.headers), body))
        told = self.server.answer(len(self.server.asked), body)
        status, data, headers = told if isinstance(told, tuple) else (200, said(told), {})
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        for part in data if isinstance(data, list) else [data]:
            self.wfile.write(part)
            if isinstance(data, list):
                self.wfile.flush()
                time.sleep(0.05)

    def handle(self):
        try:
            super().handle()
        except OSError:
            """Whoever asked has hung up."""

    def log_message(self, *_):
        """Nobody needs a line for each question."""


def said(text):
    return json.dumps({"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}).encode()


@contextmanager
def serving(answer):
    with Server(answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def shown(body):
    """Image A and the first picture of Set B, as arrays ``(SIDE, SIDE, 3)``."""
    address = body["messages"][0]["content"][1]["image_url"]["url"]
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))))[MARGIN : MARGIN + SIDE]
    return picture[:, :SIDE], picture[:, SIDE + GAP : 2 * SIDE + GAP]
