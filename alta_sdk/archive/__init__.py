"""Archives of many studies: shards embedded on several processes or machines, kept in a Lance table.

Needs the extra `archive` (pylance, pyarrow), on clusters `ray` or `dask`. Nothing else of the package imports it.
"""
