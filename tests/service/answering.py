"""Servers that misbehave as real ones do: that accept and never answer, end early, or answer what they like."""

import contextlib
import http.server
import socket
import threading


@contextlib.contextmanager
def start_silent_server():
    """Accept connections, read what comes, and say nothing; gives (port, connections so far)."""
    listener = socket.create_server(("127.0.0.1", 0))
    connections = []

    def hold(connection):
        with contextlib.suppress(OSError):
            while connection.recv(65536):
                pass

    def accept():
        with contextlib.suppress(OSError):
            while True:
                connection = listener.accept()[0]
                connections.append(connection)
                threading.Thread(target=hold, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1], connections
    finally:
        listener.close()
        for connection in connections:
            connection.close()


@contextlib.contextmanager
def start_web_server(answer, context=None):
    """Serve HTTP, with an SSLContext over TLS; answer(handler) writes what is answered.

    Gives the port, and the requests as (method, path, headers, body).
    """
    requests = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def handle_any(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            requests.append((self.command, self.path, dict(self.headers), body))
            with contextlib.suppress(OSError):
                answer(self)

        do_GET = do_POST = handle_any

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1], requests
    finally:
        server.shutdown()
        server.server_close()


def reply(handler, status, body=b"", content_type="application/dicom+json", **headers):
    """Answer a request whole."""
    handler.send_response(status)
    handler.send_header("Content-Type", content_type)
    handler.send_header("Content-Length", str(len(body)))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)
