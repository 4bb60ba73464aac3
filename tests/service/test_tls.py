"""Mutual TLS with dcmtk, and what becomes of those who do not shake hands."""

import socket
import subprocess

import pytest

from alta_sdk.errors import ServiceError
from alta_sdk.service.calling import call_peer
from alta_sdk.service.settings import DicomPeer, Receiving, Tls
from alta_sdk.service.syntaxes import COMMAND_SYNTAXES, VERIFICATION
from alta_sdk.service.tls import make_client_context, make_server_context
from service.fixtures import make_radiograph, make_settings, open_side, write_image
from service.peers import find_program, run_program, start_storescp


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """Keys and certificates of an authority, of two nodes, and of a stranger with an authority of its own."""
    folder = tmp_path_factory.mktemp("certificates")

    def run(*arguments):
        subprocess.run([find_program("openssl"), *arguments], cwd=folder, check=True, capture_output=True)

    for authority in ("site", "elsewhere"):
        run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={authority}",
            "-keyout", f"{authority}.key", "-out", f"{authority}.pem")  # fmt: skip
    for name, authority in (("alta", "site"), ("pacs", "site"), ("stranger", "elsewhere")):
        run("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", "ask")
        run("x509", "-req", "-in", "ask", "-CA", f"{authority}.pem", "-CAkey", f"{authority}.key", "-CAcreateserial",
            "-days", "2", "-out", f"{name}.pem")  # fmt: skip
    return folder


def tls_of(certificates, name, authority="site"):
    return Tls(certificates / f"{name}.pem", certificates / f"{name}.key", certificates / f"{authority}.pem")


@pytest.fixture
def secure_side(tmp_path, certificates):
    with open_side(tmp_path / "state", receiving={"tls": tls_of(certificates, "alta")}) as side:
        yield side


def store_securely(side, certificates, file, name, authority="site"):
    tls = tls_of(certificates, name, authority)
    options = ("-xe", "+tls", tls.key, tls.certificate, "+cf", tls.authority)
    titles = ("-aet", "SENDER", "-aec", "ALTA")
    return run_program("storescu", "-v", *titles, *options, "127.0.0.1", side.port, file)


def test_a_sender_with_a_certificate_of_the_authority_is_served(secure_side, certificates, tmp_path):
    file = write_image(tmp_path / "a.dcm", make_radiograph())
    done = store_securely(secure_side, certificates, file, "pacs")
    assert done.returncode == 0, done.stderr
    assert len(secure_side.store.list_studies()) == 1


def test_a_sender_with_another_certificate_is_dropped(secure_side, certificates, tmp_path):
    file = write_image(tmp_path / "a.dcm", make_radiograph())
    tls = tls_of(certificates, "stranger")
    options = ("-xe", "+tls", tls.key, tls.certificate, "+cf", tls.authority)
    done = run_program(
        "storescu", "-v", "-aet", "SENDER", "-aec", "ALTA", *options, "127.0.0.1", secure_side.port, file
    )
    assert done.returncode != 0
    assert secure_side.store.list_studies() == []


@pytest.mark.parametrize("options", [(), ("+tla",)], ids=["plain", "anonymous"])
def test_a_sender_without_a_certificate_is_dropped(secure_side, tmp_path, options):
    file = write_image(tmp_path / "a.dcm", make_radiograph())
    titles = ("-aet", "SENDER", "-aec", "ALTA", "-xe", "-ta", "20")
    done = run_program("storescu", "-v", *titles, *options, "127.0.0.1", secure_side.port, file)
    assert done.returncode != 0
    assert secure_side.store.list_studies() == []


def test_silent_connections_do_not_keep_others_from_their_handshake(secure_side, certificates, tmp_path):
    silent = [socket.create_connection(("127.0.0.1", secure_side.port), 120) for _ in range(10)]
    file = write_image(tmp_path / "a.dcm", make_radiograph())
    done = store_securely(secure_side, certificates, file, "pacs")
    assert done.returncode == 0, done.stderr
    for connection in silent:
        connection.close()


def call(port, tls):
    return call_peer("ALTA", DicomPeer("STORESCP", "127.0.0.1", port, tls, 20), ((VERIFICATION, COMMAND_SYNTAXES),))


def test_a_peer_with_a_certificate_of_the_authority_is_called(certificates, tmp_path):
    pacs = tls_of(certificates, "pacs")
    with start_storescp(tmp_path / "pacs", "+tls", pacs.key, pacs.certificate, "+cf", pacs.authority) as peer:
        with call(peer.port, tls_of(certificates, "alta")) as association:
            assert association.send_c_echo().Status == 0
        # the certificate of the peer alone, in place of its authority
        with call(peer.port, tls_of(certificates, "alta", "pacs")) as association:
            assert association.send_c_echo().Status == 0


def test_a_peer_with_another_certificate_is_not_called(certificates, tmp_path):
    stranger = tls_of(certificates, "stranger")
    with start_storescp(tmp_path / "pacs", "+tls", stranger.key, stranger.certificate, "-ic") as peer:
        with pytest.raises(ServiceError, match="cannot be reached"), call(peer.port, tls_of(certificates, "alta")):
            pass


@pytest.mark.parametrize("make", [make_server_context, make_client_context])
@pytest.mark.parametrize(
    ("which", "content", "told"),
    [
        ("certificate", None, "certificate cannot be read: No such file"),
        ("key", None, "certificate or key cannot be read: No such file"),
        ("authority", None, "authority cannot be read: No such file"),
        ("authority", b"", "authority is empty"),
        ("authority", b"no PEM", "authority is not what it should be"),
        ("certificate", b"no PEM", "certificate or key is not what it should be"),
        ("key", b"no PEM", "certificate or key is not what it should be"),
    ],
)
def test_a_wrong_file_is_told_without_its_path(certificates, tmp_path, make, which, content, told):
    wrong = tmp_path / "secretpath"
    if content is not None:
        wrong.write_bytes(content)
    good = tls_of(certificates, "alta")
    files = {"certificate": good.certificate, "key": good.key, "authority": good.authority, which: wrong}
    with pytest.raises(ServiceError, match=told) as error:
        make(Tls(**files))
    assert "secretpath" not in str(error.value)


def test_a_key_with_a_password_is_refused_and_not_asked_for(certificates, tmp_path):
    good, locked = tls_of(certificates, "alta"), tmp_path / "locked.key"
    command = ["openssl", "rsa", "-aes256", "-passout", "pass:secret", "-in", good.key, "-out", locked]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    with pytest.raises(ServiceError, match="without password"):
        make_server_context(Tls(good.certificate, locked, good.authority))


def test_a_side_with_wrong_certificates_does_not_start(tmp_path, certificates):
    wrong = Tls(tmp_path / "none.pem", tmp_path / "none.key", certificates / "site.pem")
    settings = make_settings(tmp_path / "state", receiving={"tls": wrong})
    assert isinstance(settings.receiving, Receiving)
    with pytest.raises(ServiceError, match="certificate cannot be read"), open_side(tmp_path / "s", settings=settings):
        pass
