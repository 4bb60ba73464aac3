"""`embed_shard` that leaves a byte in a file for each shard that is begun; run in the workers of `kill_archive.py`."""

import os
import sys

from alta_sdk.archive import drive
from alta_sdk.archive.shard import embed_shard

COUNT = "ALTA_TEST_COUNT"


def embed_and_count(job, shard):
    """Count, then embed."""
    with open(os.environ[COUNT], "ab") as file:
        file.write(b".")
    return embed_shard(job, shard)


if __name__ == "__main__":
    import counted_shards

    from alta_sdk.cli import main

    drive.embed_shard = counted_shards.embed_and_count
    main(sys.argv[1:])
