"""delta-rs' own merge of a file of changes, without checks.

    delta_merge.py TABLE CHANGES [create]
"""

import sys

import pyarrow.parquet
from deltalake import DeltaTable, WriterProperties, write_deltalake

table, changes = sys.argv[1:3]
properties = WriterProperties(compression="ZSTD", compression_level=1, max_row_group_size=512 << 10)
source = pyarrow.parquet.read_table(changes)
if sys.argv[3:] == ["create"]:
    write_deltalake(table, source, writer_properties=properties)
else:
    (
        DeltaTable(table)
        .merge(source, "target.order_id = source.order_id", source_alias="source", target_alias="target", writer_properties=properties)
        .when_matched_update_all()
        .when_not_matched_insert_all()
        .execute()
    )
