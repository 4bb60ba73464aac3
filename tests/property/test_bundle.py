"""Whatever a bundle's folder holds, opening it gives the engine that was exported or an error of ours."""

import shutil
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alta_sdk import AltaError, Engine, IntegrityError
from alta_sdk.engine.bundle import BundleFile, hash_file, open_bundle
from alta_sdk.engine.manifest import MAX_MANIFEST_BYTES, parse_manifest

NAMES = st.sampled_from(["head.npz", "prompts.json", "tokenizer.json", "selftest.npz", "text.onnx", "manifest.json"])
HUGE = (1 << 40, 1 << 20)  # 4 EiB of float32


@pytest.fixture(scope="module")
def copy(bundle, tmp_path_factory):
    return shutil.copytree(bundle, tmp_path_factory.mktemp("copied") / "copy.alta")


def reseal(folder, name):
    """Write a manifest that lists a changed file as its own: what somebody who forges a bundle would do."""
    manifest = parse_manifest((folder / "manifest.json").read_bytes())
    listed = BundleFile(name, (folder / name).stat().st_size, hash_file(folder / name))
    files = tuple(listed if file.name == name else file for file in manifest.files)
    (folder / "manifest.json").write_bytes(replace(manifest, files=files).render())


@given(name=NAMES, data=st.data())
def test_one_changed_byte_anywhere_is_refused(copy, name, data):
    path = copy / name
    whole = path.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    changed = bytearray(whole)
    changed[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(changed)
    try:
        with pytest.raises(AltaError):
            open_bundle(copy)
    finally:
        path.write_bytes(whole)
    assert open_bundle(copy)


@given(name=NAMES, share=st.floats(0, 1, exclude_max=True))
def test_a_file_that_is_cut_is_refused(copy, name, share):
    path = copy / name
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    try:
        with pytest.raises(AltaError):
            open_bundle(copy)
    finally:
        path.write_bytes(whole)


@given(
    st.sampled_from(["../", "/", "..\\", "C:\\", "a/", ".", "//host/", "con:", "\0"]),
    st.text("abc./\\", max_size=12),
)
def test_a_name_that_leads_out_of_the_folder_is_refused(bundle, lead, rest):
    manifest = parse_manifest((bundle / "manifest.json").read_bytes())
    outside = BundleFile(lead + rest, 1, "0" * 64)
    with pytest.raises(IntegrityError):
        parse_manifest(replace(manifest, files=(*manifest.files, outside)).render())


@pytest.mark.parametrize("name", ["head.npz", "manifest.json"])
def test_a_link_instead_of_a_file_is_not_followed_out(bundle, tmp_path, name):
    folder = shutil.copytree(bundle, tmp_path / "linked.alta")
    secret = tmp_path / "secret"
    secret.write_text("not of the bundle", encoding="utf-8")
    (folder / name).unlink()
    (folder / name).symlink_to(secret)
    with pytest.raises(IntegrityError) as caught:
        open_bundle(folder)
    assert "not of the bundle" not in str(caught.value)


@pytest.mark.parametrize("name", ["head.npz", "selftest.npz"])
def test_an_array_that_claims_to_be_huge_is_refused(bundle, tmp_path, name):
    folder = shutil.copytree(bundle, tmp_path / "forged.alta")
    with zipfile.ZipFile(folder / name) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    first = next(iter(members))
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {HUGE}, }}".ljust(117).encode() + b"\n"
    members[first] = np.lib.format.magic(1, 0) + len(header).to_bytes(2, "little") + header
    with zipfile.ZipFile(folder / name, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    reseal(folder, name)
    with pytest.raises(AltaError, match=name):
        Engine.open(folder, runtime="onnxruntime", threads=1)


@pytest.mark.parametrize("name", ["image.onnx", "text.onnx", "tokenizer.json", "prompts.json", "head.npz"])
def test_a_forged_file_of_noise_is_an_error_of_ours(bundle, tmp_path, name):
    folder = shutil.copytree(bundle, tmp_path / "forged.alta")
    (folder / name).write_bytes(np.random.default_rng(0).bytes(4000))
    reseal(folder, name)
    with pytest.raises(AltaError):
        Engine.open(folder, runtime="onnxruntime", threads=1)


def test_a_manifest_of_any_length_is_bounded(bundle, tmp_path):
    folder = shutil.copytree(bundle, tmp_path / "long.alta")
    (folder / "manifest.json").write_bytes(b"[" * (MAX_MANIFEST_BYTES + 10))
    with pytest.raises(IntegrityError, match="larger than"):
        open_bundle(folder)
