"""UIDs of what the service makes: derived, so that a result that is made or sent twice is one object.

Keyed by the site's secret: from a UID of ours nobody can tell by trial which study it is of.
"""

import json

from ..study.key import SiteKey

ROOT = "2.25."  # UIDs of 128 bits that nobody registers (PS3.5 section B.2)


def derive_uid(site_key: SiteKey, *parts: str | int) -> str:
    """Return the UID that stands for these parts on this site, always the same.

    Source: PS3.5 section B.2; the 128 bits are of HMAC-SHA256.
    """
    told = json.dumps(["alta-sdk: uid", *parts], ensure_ascii=True)
    return ROOT + str(int.from_bytes(site_key.sign(told.encode("ascii")), "big"))
