"""Sign an engine that is there already: for who vouches for it, which need not be who exported it."""

from pathlib import Path

from alta_sdk.engine.bundle import open_bundle, read_signature
from alta_sdk.engine.signature import SIGNATURE_NAME, read_private_key, read_signer, sign
from alta_sdk.errors import ExportError
from alta_sdk.files.atomic import new_file

IS_SIGNED = "engine is signed already: replace that signature with --overwrite"


def sign_engine(path: Path, key_file: Path, *, overwrite: bool) -> str:
    """Verify a bundle and write the signature of its manifest into it; return the key's fingerprint.

    Raises EngineError for a key that cannot be read, IntegrityError for a damaged bundle, ExportError if it is signed
    already (replaced with overwrite) or cannot be written.
    """
    key = read_private_key(key_file)
    bundle = open_bundle(path)
    if read_signature(path) is not None and not overwrite:
        raise ExportError(IS_SIGNED)
    signature = sign(bundle.manifest.render(), key)
    try:
        with new_file(bundle.path(SIGNATURE_NAME), overwrite=overwrite) as temporary:
            temporary.write_bytes(signature)
    except FileExistsError as error:  # another process was faster
        raise ExportError(IS_SIGNED) from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ExportError(f"{SIGNATURE_NAME} cannot be written: {reason}; make the folder writable") from error
    return read_signer(signature)["key"]
