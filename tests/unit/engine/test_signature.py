"""Signatures: an engine opens where its signer is trusted, and nowhere else; keys are never replaced or left open."""

import base64
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from click.testing import CliRunner
from conftest import export_quietly

from alta_export.cli import main as export_main
from alta_sdk import AltaError, Engine, EngineError, IntegrityError, Matcher
from alta_sdk.cli import main
from alta_sdk.engine.bundle import read_manifest
from alta_sdk.engine.plans import build_bundle
from alta_sdk.engine.signature import MAX_SIGNATURE_BYTES, Y_OF_ORDER_8, choose_trust, is_weak, read_private_key
from alta_sdk.files.new_files import create_file

OPEN = {"runtime": "onnxruntime", "threads": 1}


def run(*arguments):
    command = export_main if arguments[0] == "sign" else main
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def make_key(path):
    result = run("keygen", path)
    assert result.exit_code == 0, result.output
    return path


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    return make_key(tmp_path_factory.mktemp("keys") / "site.key")


@pytest.fixture(scope="module")
def public(key):
    return key.with_name("site.key.pub")


@pytest.fixture
def copy(bundle, tmp_path):
    return shutil.copytree(bundle, tmp_path / "copy.alta")


@pytest.fixture
def signed(copy, key):
    result = run("sign", copy, "--key", key)
    assert result.exit_code == 0, result.output
    return copy


def test_a_signed_engine_opens_where_its_key_is_trusted(signed, public, monkeypatch):
    fingerprint = next(iter(choose_trust(public).keys))
    assert Engine.open(signed, trust=public, **OPEN).provenance["signed_by"] == fingerprint
    assert Matcher(signed, trust=public, **OPEN).provenance["signed_by"] == fingerprint
    assert "signed_by" not in Engine.open(signed, **OPEN).provenance
    monkeypatch.setenv("ALTA_TRUST", str(public))
    assert Engine.open(signed, **OPEN).provenance["signed_by"] == fingerprint


@pytest.mark.parametrize("by_environment", [False, True])
def test_an_unsigned_engine_is_refused_where_a_key_is_trusted(copy, public, by_environment, monkeypatch):
    if by_environment:
        monkeypatch.setenv("ALTA_TRUST", str(public))
    given = {} if by_environment else {"trust": public}
    for open_engine in (Engine.open, Matcher):
        with pytest.raises(IntegrityError, match="engine is not signed"):
            open_engine(copy, **given, **OPEN)
    with pytest.raises(IntegrityError, match="engine is not signed"):
        build_bundle(copy, trusted=choose_trust(public))


def test_every_command_that_opens_an_engine_refuses_an_unsigned_one(copy, public, radiograph_path, tmp_path):
    (tmp_path / "reports.txt").write_text("There is edema.\n", encoding="utf-8")
    (tmp_path / "table.csv").write_text("study,edema\na.png,1\n", encoding="utf-8")
    engine = ["--engine", copy, "--trust", public]
    for arguments in (
        ["score", radiograph_path, "--labels", "rsna", *engine],
        ["compare", radiograph_path, radiograph_path, "--labels", "rsna", *engine],
        ["locate", radiograph_path, "--phrase", "edema", *engine],
        ["rank", radiograph_path, "--reports", tmp_path / "reports.txt", *engine],
        ["embed", radiograph_path.parent, "--out", tmp_path / "x.index", *engine],
        ["inspect", copy, "--trust", public],
        ["inspect", copy, "--verify", "--trust", public],
        ["doctor", copy, "--trust", public],
        ["bench", copy, "--trust", public],
    ):
        result = run(*arguments)
        assert result.exit_code == 1 and "engine is not signed" in result.stderr, (arguments, result.output)
        assert result.stdout == ""


def test_an_engine_signed_by_another_key_is_refused_and_one_of_two_trusted_is_enough(signed, public, tmp_path):
    other = make_key(tmp_path / "other.key").with_name("other.key.pub")
    with pytest.raises(IntegrityError, match="which is not trusted here"):
        Engine.open(signed, trust=other, **OPEN)
    (tmp_path / "both.pub").write_bytes(other.read_bytes() + public.read_bytes())
    assert Engine.open(signed, trust=tmp_path / "both.pub", **OPEN)


def test_a_forger_who_computes_every_hash_again_is_refused(signed, public):
    manifest = read_manifest(signed)
    (signed / "manifest.json").write_bytes(replace(manifest, notices=("Cleared for clinical use.",)).render())
    assert Engine.open(signed, **OPEN)  # a hash alone proves no author
    with pytest.raises(IntegrityError, match="signature is not of this manifest"):
        Engine.open(signed, trust=public, **OPEN)


def test_the_trusted_name_on_another_keys_signature_is_refused(signed, public, tmp_path):
    trusted = next(iter(choose_trust(public).keys))
    assert run("sign", signed, "--key", make_key(tmp_path / "forger.key"), "--overwrite").exit_code == 0
    text = (signed / "manifest.sig").read_text(encoding="ascii")
    forger = next(iter(choose_trust(tmp_path / "forger.key.pub").keys))
    (signed / "manifest.sig").write_text(text.replace(forger, trusted), encoding="ascii")
    with pytest.raises(IntegrityError, match="signature is not of this manifest"):
        Engine.open(signed, trust=public, **OPEN)


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[" * 2000, b"\xff", b"null", b"x" * (MAX_SIGNATURE_BYTES + 1)]
    + [b'{"algorithm": "none", "key": "%s", "signature": "%s"}' % (b"0" * 64, b"0" * 128)],
)
def test_what_is_no_signature_is_an_error_of_ours(copy, public, data):
    (copy / "manifest.sig").write_bytes(data)
    with pytest.raises(IntegrityError, match=r"manifest\.sig is not a signature of an engine"):
        Engine.open(copy, trust=public, **OPEN)
    assert Engine.open(copy, **OPEN)  # nobody asked


def test_the_export_signs_what_it_writes_and_nobody_need_trust_it_yet(export_options, key, public, monkeypatch):
    monkeypatch.setenv("ALTA_TRUST", str(public))
    report = export_quietly(export_options(sign=key))
    assert Engine.open(report.path, **OPEN).bundle.signed_by
    unsigned = export_quietly(export_options())
    with pytest.raises(IntegrityError, match="not signed"):
        Engine.open(unsigned.path, **OPEN)


def test_a_wrong_signing_key_is_refused_before_the_export_works(export_options, public, tmp_path):
    for path in (public, tmp_path / "absent.key"):
        options = export_options(sign=path)
        with pytest.raises(EngineError, match="signing key"):
            export_quietly(options)
        assert not options.output.exists()


def test_a_signature_is_replaced_only_when_asked(signed, key):
    before = (signed / "manifest.sig").read_bytes()
    result = run("sign", signed, "--key", key)
    assert result.exit_code == 1 and "--overwrite" in result.stderr
    assert run("sign", signed, "--key", key, "--overwrite").exit_code == 0
    assert (signed / "manifest.sig").read_bytes() == before  # Ed25519 signs alike each time


def test_a_damaged_engine_is_not_signed(copy, key):
    (copy / "head.npz").write_bytes(b"x")
    result = run("sign", copy, "--key", key)
    assert result.exit_code == 1 and result.stderr.startswith("IntegrityError: head.npz")
    assert not (copy / "manifest.sig").exists()


def test_inspect_tells_who_signed(signed, public, bundle):
    fingerprint = next(iter(choose_trust(public).keys))
    assert f"by the trusted key {fingerprint}" in run("inspect", signed, "--trust", public).stdout
    assert f"not checked (--trust); it says by the key {fingerprint}" in run("inspect", signed).stdout
    assert '"signature": "none"' in run("inspect", bundle, "--json").stdout


def test_a_key_pair_is_private_and_never_replaced(tmp_path):
    path = make_key(tmp_path / "k")
    before = path.read_bytes(), path.with_name("k.pub").read_bytes()
    assert os.name == "nt" or path.stat().st_mode & 0o777 == 0o600
    for _ in range(2):
        result = run("keygen", path)
        assert result.exit_code == 1 and "never replaced" in result.stderr and str(tmp_path) not in result.output
        assert (path.read_bytes(), path.with_name("k.pub").read_bytes()) == before
    path.with_name("k.pub").unlink()
    assert run("keygen", path).exit_code == 1 and not path.with_name("k.pub").exists()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["k"]
    assert run("keygen", tmp_path / "absent" / "k").exit_code == 1


def test_of_many_at_once_one_makes_the_file(tmp_path):
    def create(number):
        try:
            create_file(tmp_path / "k", str(number).encode(), 0o600)
        except FileExistsError:
            return None
        return number

    with ThreadPoolExecutor(8) as pool:
        made = [number for number in pool.map(create, range(64)) if number is not None]
    assert len(made) == 1 and (tmp_path / "k").read_text() == str(made[0])
    assert [entry.name for entry in tmp_path.iterdir()] == ["k"]


@pytest.mark.skipif(os.name == "nt", reason="modes say nothing on Windows")
def test_a_private_key_that_is_open_to_everybody_is_refused(key, tmp_path):
    shutil.copyfile(key, tmp_path / "open.key")
    (tmp_path / "open.key").chmod(0o644)
    with pytest.raises(EngineError, match="chmod 600"):
        read_private_key(tmp_path / "open.key")


@pytest.mark.parametrize("content", [b"", b"no key", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
def test_what_is_no_trusted_key_is_an_error_of_ours(bundle, tmp_path, content, key):
    (tmp_path / "x.pub").write_bytes(content)
    for path in (tmp_path / "x.pub", key, tmp_path / "absent.pub", tmp_path):
        with pytest.raises(AltaError, match="trusted key") as caught:
            Engine.open(bundle, trust=path, **OPEN)
        assert str(tmp_path) not in str(caught.value)


def test_another_kind_of_key_is_refused(tmp_path):
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    (tmp_path / "ec.pub").write_bytes(key.public_key().public_bytes(*form))
    with pytest.raises(EngineError, match="another kind than Ed25519"):
        choose_trust(tmp_path / "ec.pub")


def test_what_is_built_after_it_was_signed_has_to_be_signed_again(gpu, export_options, key, public):
    path = export_quietly(export_options(engine="trt", precision="fp16", defer_build=True, sign=key)).path
    trusted = choose_trust(public)
    build_bundle(path, trusted=trusted)
    with pytest.raises(IntegrityError, match="built for TensorRT, after it was signed"):
        Engine.open(path, trust=public)
    assert run("sign", path, "--key", key, "--overwrite").exit_code == 0
    assert Engine.open(path, trust=public).bundle.signed_by


FIELD, RATIO = 2**255 - 19, -121665 * pow(121666, -1, 2**255 - 19)  # of edwards25519, RFC 8032 section 5.1


def add(one, other):
    (x, y), (u, v) = one, other
    product = RATIO * x * u * y * v
    return (
        (x * v + u * y) * pow(1 + product, -1, FIELD) % FIELD,
        (y * v + x * u) * pow(1 - product, -1, FIELD) % FIELD,
    )


def list_multiples(point):
    found = [point]
    while found[-1] != (0, 1):
        found.append(add(found[-1], point))
    return found


def find_weak_keys():
    """Return all 32 bytes that stand for a point of order 1 to 8, from one of order 8 and its multiples."""
    y = Y_OF_ORDER_8
    square = (y * y - 1) * pow(RATIO * y * y + 1, -1, FIELD) % FIELD
    x = pow(square, (FIELD + 3) // 8, FIELD)
    x = x if (x * x - square) % FIELD == 0 else x * pow(2, (FIELD - 1) // 4, FIELD) % FIELD
    points = list_multiples((x, y))
    assert len(points) == 8
    written = {form for _, y in points for form in (y, y + FIELD) if form < 1 << 255}
    return [(form | sign << 255).to_bytes(32, "little") for form in sorted(written) for sign in (0, 1)]


def test_a_key_that_verifies_forged_signatures_is_refused(tmp_path, public):
    keys = find_weak_keys()
    assert len(keys) == 14 and bytes(32) in keys and (1).to_bytes(32, "little") in keys
    for key in keys:
        assert is_weak(key)
        der = bytes.fromhex("302a300506032b6570032100") + key
        (tmp_path / "k.pub").write_bytes(
            b"-----BEGIN PUBLIC KEY-----\n"
            + base64.b64encode(der)
            + b"\n-----END PUBLIC KEY-----\n"
            + public.read_bytes()
        )
        with pytest.raises(EngineError, match="verifies forged signatures|cannot be read"):
            choose_trust(tmp_path / "k.pub")
    assert not any(is_weak(key) for key in choose_trust(public).keys.values())


@pytest.mark.skipif(os.name == "nt", reason="modes say nothing on Windows")
@pytest.mark.parametrize("umask", [0o777, 0o277, 0o077, 0o022])
def test_keys_can_be_read_by_their_owner_whatever_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        for name, mode in (("secret", 0o600), ("public", 0o644)):
            create_file(tmp_path / name, b"key", mode)
    finally:
        os.umask(before)
    modes = [(tmp_path / name).stat().st_mode & 0o777 for name in ("secret", "public")]
    assert modes == [0o600, 0o600 | 0o044 & ~umask]
