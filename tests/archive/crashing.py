"""Stand-ins for `embed_shard` that end their process, as a decoder's fault would, or fill the disk; run in workers."""

import errno
import os
import signal
from pathlib import Path

import numpy as np

from alta_sdk.archive.parts import PART, EmbeddedRow, list_kind, open_parts, write_part
from alta_sdk.archive.shard import ShardOutcome, embed_shard

KILLER = b"killer".ljust(16, b"\0")


def make_identity(number):
    return number.to_bytes(16, "big")


def embed_without_engine(job, shard):
    """Write a part of made-up vectors, which say whose they are."""
    rows = []
    for entry in shard.entries:
        vector = np.zeros(job.origin.width, dtype=np.float32)
        vector[int.from_bytes(entry.identity[-2:], "big") % job.origin.width] = 1
        rows.append(EmbeddedRow(entry.identity, entry.identity, {"vector": vector}))
    write_part(open_parts(job.archive), shard.name, job.origin, rows, [])
    return ShardOutcome(shard.name, len(rows), {})


def crash_on_one(job, shard):
    """End the process whenever the one study is in the shard; each time leaves a byte beside the archive."""
    if any(entry.identity == KILLER for entry in shard.entries):
        with open(job.archive + ".crashes", "ab") as file:
            file.write(b".")
        os.kill(os.getpid(), signal.SIGKILL)
    return embed_without_engine(job, shard)


def embed_until_the_disk_is_full(job, shard):
    """Embed, but with three parts there nothing more can be written: half of the data is, as on a real disk."""
    if len(list_kind(open_parts(job.archive), PART)) < 3:
        return embed_shard(job, shard)
    real = Path.write_bytes

    def fail(path, data):
        real(path, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device", "/DOE_JANE")

    Path.write_bytes = fail
    return embed_shard(job, shard)
