"""DuckDB's side of a run: `COPY … TO parquet`, made durable, and the fused query of the checks over what was written.

    duckdb_copy.py FILE OUT FORM ROW_GROUP
"""

import os
import sys

import duckdb

from duckdb_checks import check

source, target, form, row_group = sys.argv[1:5]
connection = duckdb.connect(config={"threads": 2})
connection.execute(
    f"COPY (SELECT * FROM '{source}') TO '{target}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, ROW_GROUP_SIZE {row_group})"
)
for path in [target, os.path.dirname(target)]:
    handle = os.open(path, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)
check(connection, target, form)
