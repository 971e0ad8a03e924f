"""Small appends with the `deltalake` wheel, without checks: prints commits a second, start-up excluded.

    delta_appends.py TABLE COMMITS
"""

import sys
import time

import pyarrow
from deltalake import DeltaTable, write_deltalake

path, commits = sys.argv[1], int(sys.argv[2])
batch = pyarrow.table({"id": pyarrow.array(range(10), pyarrow.int64()), "kind": pyarrow.array(["view"] * 10)})
start = time.perf_counter()
write_deltalake(path, batch)
table = DeltaTable(path)
for _ in range(commits - 1):
    # The table that is open: its state goes on from commit to commit.
    write_deltalake(table, batch, mode="append")
print(commits / (time.perf_counter() - start))
assert DeltaTable(path).version() == commits - 1
