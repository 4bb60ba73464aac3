"""Manifests that no export wrote, sealed as if one had: what somebody who forges a bundle would do."""

import hashlib
import json
from dataclasses import replace

from alta_sdk.engine.manifest import BundleFile, parse_manifest


def read_content(folder):
    content = json.loads((folder / "manifest.json").read_bytes())
    del content["sha256"]
    return content


def write_content(folder, content):
    """Write any content in the canonical way, with its hash in it."""
    sha256 = hashlib.sha256(_canonical(content)).hexdigest()
    (folder / "manifest.json").write_bytes(_canonical({**content, "sha256": sha256}))


def reseal(folder, **changes):
    """Write a manifest with other entries, which lists the files as they are now; return the folder."""
    manifest = parse_manifest((folder / "manifest.json").read_bytes())
    files = tuple(BundleFile.of(file.name, (folder / file.name).read_bytes()) for file in manifest.files)
    (folder / "manifest.json").write_bytes(replace(manifest, **{"files": files, **changes}).render())
    return folder


def _canonical(content):
    return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode("ascii")
