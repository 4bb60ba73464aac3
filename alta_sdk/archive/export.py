"""An archive as one Parquet file, for other stores: Qdrant, Milvus, pgvector load it."""

from pathlib import Path

from ..errors import EngineError
from ..files.atomic import new_file
from .extra import require
from .table import Archive
from .where import Where

MAGIC = b"PAR1"


def is_parquet(head: bytes) -> bool:
    """Tell by its first bytes whether a file is a Parquet file."""
    return head.startswith(MAGIC)


def export_archive(archive: Archive, out: Path, where: Where | None = None, *, with_vectors: bool = True) -> int:
    """Write the studies that pass a filter to a Parquet file, with the archive's origin; return their number."""
    pa, parquet = require("pyarrow", "archive"), require("pyarrow.parquet", "archive")
    names = [one for one in archive.table.schema.names if with_vectors or one != "vector"]
    schema = pa.schema([archive.table.schema.field(name) for name in names], metadata=archive.table.schema.metadata)
    count = 0
    try:
        with new_file(out) as temporary, parquet.ParquetWriter(temporary, schema, use_dictionary=False) as writer:
            for batch in archive.table.to_batches(columns=names, filter=where.sql if where else None):
                writer.write_batch(batch.cast(schema) if batch.schema != schema else batch)
                count += len(batch)
    except OSError as error:
        raise EngineError(f"export cannot be written: {error.strerror or 'disk error'}; check the disk") from error
    return count
