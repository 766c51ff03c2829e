"""Answers chat completions with numbered words; the model's name says how many and how fast: words-40-every-500ms."""

import contextlib
import json
import re
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_NAME = re.compile(r"words-(\d{1,4})-every-(\d{1,5})ms")
_PORT = 8080


class Completions(BaseHTTPRequestHandler):
    """Streams one completion."""

    def do_GET(self) -> None:
        self._answer(HTTPStatus.OK, {"status": "ok"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))))
        pace = _NAME.fullmatch(str(body.get("model")))
        if pace is None:
            self._answer(HTTPStatus.NOT_FOUND, {"error": {"message": "no such model", "code": "model_not_found"}})
            return
        self.send_response(HTTPStatus.OK)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self._speak(words=int(pace[1]), gap_s=int(pace[2]) / 1000)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's own name
        """Keep quiet."""

    def _speak(self, *, words: int, gap_s: float) -> None:
        with contextlib.suppress(ConnectionError):  # the caller has left
            self._say(words, gap_s)

    def _say(self, words: int, gap_s: float) -> None:
        for number in range(1, words + 1):
            self._send({"choices": [{"index": 0, "delta": {"content": f"word-{number} "}}]})
            time.sleep(gap_s)
        self._send({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        self._send({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": words}})
        self.wfile.write(b"data: [DONE]\n\n")

    def _send(self, chunk: dict[str, Any]) -> None:
        self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
        self.wfile.flush()

    def _answer(self, status: HTTPStatus, body: dict[str, Any]) -> None:
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


class Endpoint(ThreadingHTTPServer):
    """Takes as many callers at once as come."""

    request_queue_size = 1024


if __name__ == "__main__":
    Endpoint(("", _PORT), Completions).serve_forever()
