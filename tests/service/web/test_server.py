"""The page in a thread: on loopback, with TLS, and what it says of addresses and certificates that are none."""

import http.client
import json
import logging
import socket
import ssl

import pytest
from fakes.certificates import make_certificate
from fakes.service_view import KEYS, make_settings

from alta_sdk.errors import ServiceError
from alta_sdk.service.web import connections
from alta_sdk.service.web.login import hash_password
from alta_sdk.service.web.server import WebServer


@pytest.fixture
def serve(view, tmp_path):
    """A server over a view; keyword arguments are of Web."""
    started = []

    def start(**web):
        server = WebServer(view, make_settings(tmp_path, port=0, **web))
        started.append(server)
        server.start()
        return server

    yield start
    for server in started:
        server.stop()


def get(connection, path, **headers):
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    return answer, answer.read().decode()


def test_the_page_is_served_on_loopback_and_ends(serve, caplog):
    caplog.set_level(logging.DEBUG)
    server = serve()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    answer, page = get(connection, f"/worklist/{KEYS['done']}")
    assert answer.status == 200
    assert "pneumonia" in page
    assert answer.getheader("server") is None
    assert server.is_alive()
    connection.close()
    server.stop()
    server.stop()
    assert not server.is_alive()
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", server.port if server._socket.fileno() > 0 else 9), timeout=1).close()
    assert KEYS["done"] not in caplog.text


def test_garbage_is_answered_with_400_and_nothing_is_logged(serve, caplog):
    caplog.set_level(logging.DEBUG)
    server = serve()
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as opened:
        opened.sendall(b"DOE^JANE\x00\xff\r\n\r\n")
        assert b" 400 " in opened.recv(200)
    assert "DOE" not in caplog.text


@pytest.mark.parametrize("begun", [b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET "])
def test_a_connection_that_says_nothing_more_is_ended(serve, monkeypatch, begun):
    monkeypatch.setattr(connections, "HEADER_S", 0.2)
    server = serve()
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as opened:
        opened.sendall(begun)
        told = b"".join(iter(lambda: opened.recv(4096), b""))
    assert (b" 200 OK" in told) == begun.endswith(b"GET ")


def test_the_page_is_served_with_tls_and_its_cookie_is_kept_to_it(serve, tmp_path):
    certificate, key = make_certificate(tmp_path)
    users = (("anna", hash_password("correct horse battery")),)
    server = serve(certificate=certificate, key=key, users=users)
    context = ssl.create_default_context(cafile=certificate)
    connection = http.client.HTTPSConnection("localhost", server.port, timeout=60, context=context)
    form = "user=anna&password=correct+horse+battery"
    connection.request("POST", "/login", form, {"Content-Type": "application/x-www-form-urlencoded"})
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 303
    assert "Secure" in answer.getheader("set-cookie")
    assert answer.getheader("strict-transport-security")
    answer, page = get(connection, "/readyz")
    assert json.loads(page)["ready"] is True
    connection.close()


def test_an_address_that_may_not_be_used_is_refused(view, tmp_path):
    with pytest.raises(ServiceError, match="needs certificate and key"):
        WebServer(view, make_settings(tmp_path, host="0.0.0.0", port=0))


def test_a_port_that_is_taken_is_told_in_one_line(view, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            ServiceError, match=rf"^page cannot be served on port {port}: .+; check \[web\] host and port$"
        ):
            WebServer(view, make_settings(tmp_path, port=port))


def test_a_certificate_that_cannot_be_read_is_told_in_one_line(view, tmp_path):
    certificate, _ = make_certificate(tmp_path)
    (tmp_path / "other.pem").write_text("no key")
    with pytest.raises(ServiceError, match="certificate or key cannot be read as PEM"):
        WebServer(view, make_settings(tmp_path, port=0, certificate=certificate, key=tmp_path / "other.pem"))
