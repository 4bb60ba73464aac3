import contextlib
import json
import socket
import ssl
import subprocess
import threading
import time

import pytest

from alta_sdk.errors import ServiceError
from alta_sdk.service.dicomweb import Answer, StatusError, WebClient, join_path, split_parts
from alta_sdk.service.settings import WebPeer
from service.answering import reply, start_silent_server, start_web_server
from service.peers import find_program

MULTIPART = 'multipart/related; type="application/dicom"; boundary="b-1"'
BODY = b"--b-1\r\nContent-Type: application/dicom\r\n\r\none\r\n--b-1\r\n\r\ntwo\r\n\r\nmore\r\n--b-1--\r\n"


def make_client(port, *, seconds=30.0, path="/dicom-web", **options):
    return WebClient(WebPeer(f"http://127.0.0.1:{port}{path}", timeout_seconds=seconds, **options))


def ask(answer, question, **options):
    with start_web_server(answer) as (port, requests):
        return question(make_client(port, **options)), requests


def test_a_search_is_asked_where_the_settings_say():
    found, [(method, path, headers, _)] = ask(
        lambda handler: reply(handler, 200, b'[{"0020000D": {"vr": "UI", "Value": ["1.2"]}}]'),
        lambda client: client.search("/studies", {"PatientID": "a&b=c d/é"}),
    )
    assert found == [{"0020000D": {"vr": "UI", "Value": ["1.2"]}}]
    assert (method, path) == ("GET", "/dicom-web/studies?PatientID=a%26b%3Dc+d%2F%C3%A9")
    assert headers["Accept"] == "application/dicom+json" and "Authorization" not in headers


def test_no_match_is_none():
    for status, body in ((204, b""), (200, b"[]")):
        found, _ = ask(
            lambda handler, s=status, b=body: reply(handler, s, b), lambda client: client.search("/studies", {})
        )
        assert found == []


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[1]", b"null", b"\xff\xfe", b"<html></html>", b"[" * 100_000, b'[{"a": 1}']
)
def test_a_search_that_is_answered_with_something_else_is_refused(body):
    with pytest.raises(ServiceError, match="no DICOM JSON"):
        ask(lambda handler: reply(handler, 200, body), lambda client: client.search("/studies", {}))


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404, 500, 503])
def test_another_status_is_told_and_no_redirect_is_followed(status):
    def answer(handler):
        reply(handler, status, b"QUIXLEY", Location="http://127.0.0.1:1/elsewhere")

    with pytest.raises(StatusError, match=f"status {status}") as refusal:
        ask(answer, lambda client: client.search("/studies", {}))
    assert "QUIXLEY" not in str(refusal.value) and refusal.value.status == status


def test_images_are_asked_for_as_they_are_kept():
    found, [(_, path, headers, _)] = ask(
        lambda handler: reply(handler, 200, BODY, MULTIPART),
        lambda client: client.retrieve(join_path("studies", "1.2", "series", "3/..4"), most_bytes=1000),
    )
    assert found == [b"one", b"two\r\n\r\nmore"]
    assert path == "/dicom-web/studies/1.2/series/3%2F..4"
    assert headers["Accept"] == 'multipart/related; type="application/dicom"; transfer-syntax=*'


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/dicom", BODY),
        ("multipart/related", BODY),
        (MULTIPART, b""),
        (MULTIPART, BODY[:-6]),
        (MULTIPART, b"--b-1--\r\n"),
        (MULTIPART.replace("b-1", "b-2"), BODY),
    ],
)
def test_an_answer_that_is_no_whole_multipart_is_refused(content_type, body):
    with pytest.raises(ServiceError, match="multipart|too early"):
        split_parts(Answer(200, content_type, body))


def test_an_answer_is_read_up_to_its_bound():
    for most, fits in ((len(BODY), True), (len(BODY) - 1, False)):
        context = contextlib.nullcontext() if fits else pytest.raises(ServiceError, match="larger than")
        with context:
            ask(
                lambda handler: reply(handler, 200, BODY, MULTIPART),
                lambda client, most=most: client.retrieve("/studies", most_bytes=most),
            )


def test_an_endless_answer_is_refused_at_its_bound():
    def answer(handler):
        handler.send_response(200)
        handler.end_headers()
        while True:
            handler.wfile.write(b"x" * 65536)

    with pytest.raises(ServiceError, match="larger than"):
        ask(answer, lambda client: client.retrieve("/studies", most_bytes=1 << 20))


def test_an_answer_that_ends_before_its_length_is_refused():
    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b"[]")
        handler.connection.shutdown(socket.SHUT_RDWR)

    with pytest.raises(ServiceError, match="too early"):
        ask(answer, lambda client: client.search("/studies", {}))


def test_an_object_is_stored_as_one_part():
    _, [(method, path, headers, body)] = ask(
        lambda handler: reply(handler, 200, b"{}"), lambda client: client.store(b"DICOM")
    )
    assert (method, path) == ("POST", "/dicom-web/studies")
    assert split_parts(Answer(200, headers["Content-Type"], body)) == [b"DICOM"]


@pytest.mark.parametrize(
    ("status", "body", "is_stored"),
    [
        (200, b"", True),
        (200, b"<xml/>", True),
        (200, b'{"00081198": {"vr": "SQ"}}', True),  # as Orthanc answers
        (200, b'{"00081198": {"vr": "SQ", "Value": []}}', True),
        (200, b'{"00081198": {"vr": "SQ", "Value": [{}]}}', False),
        (202, b'{"00081199": {"vr": "SQ", "Value": [{}]}}', True),
        (202, b"", False),
        (409, b"", False),
    ],
)
def test_stored_is_what_the_server_says_it_has_stored(status, body, is_stored):
    context = contextlib.nullcontext() if is_stored else pytest.raises(StatusError)
    with context:
        ask(lambda handler: reply(handler, status, body), lambda client: client.store(b"DICOM"))


def test_a_silent_server_costs_its_time():
    with start_silent_server() as (port, _), pytest.raises(ServiceError, match="in time"):
        make_client(port, seconds=0.5).search("/studies", {})


@pytest.mark.parametrize("part", ["header", "body"])
def test_a_server_that_sends_a_byte_now_and_then_costs_its_time(part):
    def answer(handler):
        if part == "body":
            handler.send_response(200)
            handler.end_headers()
        else:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        for _ in range(600):
            handler.wfile.write(b"x")
            time.sleep(0.1)

    with pytest.raises(ServiceError, match="in time"):
        ask(answer, lambda client: client.search("/studies", {}), seconds=1.0)


def test_a_caller_may_have_less_time_than_the_server():
    with start_silent_server() as (port, _):
        client = make_client(port, seconds=3600.0)
        for seconds in (0.3, 0.0, -1.0):
            with pytest.raises(ServiceError, match="in time"):
                client.search("/studies", {}, seconds=seconds)


def test_a_port_without_a_server_and_one_of_another_kind_are_told():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ServiceError, match="cannot be reached"):
        make_client(port).search("/studies", {})

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def speak():
            connection = listener.accept()[0]
            connection.sendall(b"220 mail.example ESMTP\r\n")
            connection.close()

        threading.Thread(target=speak, daemon=True).start()
        with pytest.raises(ServiceError, match="cannot be reached, or ends"):
            make_client(listener.getsockname()[1]).search("/studies", {})


@pytest.mark.parametrize(
    ("line", "header"),
    [
        ("user:pass:word\n", "Basic dXNlcjpwYXNzOndvcmQ="),
        ("Bearer abc.def", "Bearer abc.def"),
        ("jörg:ü", "Basic asO2cmc6w7w="),
    ],
)
def test_credentials_come_from_a_file(tmp_path, line, header):
    (tmp_path / "credentials").write_text(line, encoding="utf-8")
    _, [(_, _, headers, _)] = ask(
        lambda handler: reply(handler, 200, b"[]"),
        lambda client: client.search("/studies", {}),
        credentials=tmp_path / "credentials",
    )
    assert headers["Authorization"] == header


@pytest.mark.parametrize("data", [b"", b"password", b"Bearer a\nb", b"a:b\r\nHost: c", b"\xff:\xff"])
def test_credentials_of_another_form_are_refused(tmp_path, data):
    (tmp_path / "credentials").write_bytes(data)
    with pytest.raises(ServiceError, match="credentials") as refusal:
        make_client(1, credentials=tmp_path / "credentials")
    assert "password" not in str(refusal.value).partition(":")[0]


def test_what_the_environment_says_of_proxies_and_passwords_is_not_followed(monkeypatch, tmp_path):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    _, [(_, _, headers, _)] = ask(lambda handler: reply(handler, 200, b"[]"), lambda client: client.search("/s", {}))
    assert "Authorization" not in headers


@pytest.mark.parametrize(
    "url", ["", "ftp://host/", "host:80", "http://", "http://[::1", "http://host:port/", "file:///x"]
)
def test_a_url_of_another_kind_is_refused(url):
    with pytest.raises(ServiceError, match="url"):
        WebClient(WebPeer(url))


def test_nothing_is_logged_of_a_request(caplog):
    caplog.set_level(0)
    ask(
        lambda handler: reply(handler, 200, json.dumps([{}]).encode()),
        lambda client: client.search("/studies", {"PatientID": "QUIXLEY"}),
    )
    assert "QUIXLEY" not in caplog.text


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate of 127.0.0.1 that is its own authority, and its key."""
    folder = tmp_path_factory.mktemp("certificate")
    command = [
        find_program("openssl"),
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=pacs",
    ]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "pacs.pem"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / "pacs.pem", folder / "key.pem"


def test_a_server_is_asked_over_tls_if_its_authority_is_the_one_that_is_named(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with start_web_server(lambda handler: reply(handler, 200, b"[{}]"), context) as (port, requests):
        url = f"https://127.0.0.1:{port}/dicom-web"
        assert WebClient(WebPeer(url, authority=certificate[0])).search("/studies", {}) == [{}]
        with pytest.raises(ServiceError, match="not trusted"):
            WebClient(WebPeer(url)).search("/studies", {})
        with pytest.raises(ServiceError, match="not trusted"):
            WebClient(WebPeer(url.replace("127.0.0.1", "localhost"), authority=certificate[0])).search("/studies", {})
        with pytest.raises(ServiceError, match="no HTTP answer|cannot be reached"):
            WebClient(WebPeer(url.replace("https", "http"))).search("/studies", {})
        with pytest.raises(ServiceError, match="authority"):
            WebClient(WebPeer(url, authority=certificate[1]))
    assert len(requests) == 1


def test_a_server_that_does_not_shake_hands_costs_its_time(certificate):
    with start_silent_server() as (port, _), pytest.raises(ServiceError, match="in time"):
        WebClient(WebPeer(f"https://127.0.0.1:{port}", timeout_seconds=0.5)).search("/studies", {})


@pytest.mark.parametrize(
    "stated",
    ['boundary="b-1"', "boundary=b-1", "Boundary=b-1 ", 'xboundary=other; BOUNDARY="b-1"; type="application/dicom"'],
)
def test_a_boundary_is_found_however_it_is_stated(stated):
    body = b"--b-1\r\nContent-Type: application/dicom\r\n\r\nDATA\r\n--b-1--\r\n"
    assert split_parts(Answer(200, f"Multipart/Related; {stated}", body)) == [b"DATA"]
