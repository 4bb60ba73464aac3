"""A proxy before a store: it answers some requests with an error, cuts some connections, lets credentials expire."""

import http.client
import http.server
import random
import threading
from urllib.parse import urlsplit

HOP = ("connection", "keep-alive", "transfer-encoding", "content-length", "date", "server", "expect")
ERROR = "<?xml version='1.0'?><Error><Code>{}</Code><Message>of AKIADOEJANE</Message></Error>"


class Proxy(http.server.ThreadingHTTPServer):
    """Stands before a store and passes requests on.

    share: of the requests that fail. A connection is cut before the store has the request ("cut") or after ("lost").
    good_requests: after so many the credentials have expired.
    """

    daemon_threads = True

    def __init__(self, target, *, share=0.0, kinds=(500, 503, "cut", "lost"), good_requests=None, seed=3):
        super().__init__(("127.0.0.1", 0), Passing)
        self.target, self.share, self.kinds, self.good_requests = urlsplit(target).netloc, share, kinds, good_requests
        self.random = random.Random(seed)
        self.faults, self.requests = [], 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def choose_fault(self):
        self.requests += 1
        if self.good_requests is not None and self.requests > self.good_requests:
            return "expired"
        return self.random.choice(self.kinds) if self.random.random() < self.share else None

    def handle_error(self, request, client_address):
        pass


class Passing(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def read_body(self):
        """Return a body, without the chunks of its transfer: what AWS's own client sends has no length."""
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(parts)

    def pass_on(self):
        body, fault = self.read_body(), self.server.choose_fault()
        if fault is not None:
            self.server.faults.append(fault)
        if fault in (500, 503, "expired"):
            status, code = (403, "ExpiredToken") if fault == "expired" else (fault, "SlowDown")
            self.answer(status, {"Content-Type": "application/xml"}, ERROR.format(code).encode())
            return
        answer = None if fault == "cut" else self.ask(body)
        if fault is not None:
            self.close_connection = True
            self.connection.shutdown(2)
            return
        self.answer(*answer)

    def ask(self, body):
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
        connection = http.client.HTTPConnection(self.server.target)
        connection.request(self.command, self.path, body, {**headers, "Content-Length": str(len(body))})
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer.status, dict(answer.getheaders()), data

    def answer(self, status, headers, body):
        stated = {name.lower(): value for name, value in headers.items()}
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in HOP:
                self.send_header(name, value)
        if status != 204:
            length = stated.get("content-length", "0") if self.command == "HEAD" else str(len(body))
            self.send_header("Content-Length", length)
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = pass_on
