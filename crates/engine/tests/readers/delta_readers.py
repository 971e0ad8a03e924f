"""Reads a Delta table as other engines do. Prints what each sees, one JSON list a row, ordered by the first column.

usage: delta_readers.py deltalake|duckdb FOLDER [VERSION]
"""

import datetime
import decimal
import json
import os
import sys


def plain(value):
    if isinstance(value, decimal.Decimal):
        return str(value)
    if isinstance(value, datetime.datetime):
        if value.tzinfo is not None:
            value = value.astimezone(datetime.timezone.utc)
        return value.isoformat()
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).hex()
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    return value


def deltalake_rows(folder, version):
    import deltalake

    table = deltalake.DeltaTable(folder, version=version)
    rows = table.to_pyarrow_table()
    return [list(row.values()) for row in rows.to_pylist()]


def duckdb_rows(folder, version):
    import duckdb
    import duckdb_ext

    connection = duckdb.connect()
    duckdb_ext.init(connection)
    connection.execute("LOAD delta")
    connection.execute("SET TimeZone = 'UTC'")
    at = "" if version is None else f", version => {version}"
    result = connection.execute(f"SELECT * FROM delta_scan('file://{folder}'{at})").fetch_arrow_table()
    return [list(row.values()) for row in result.to_pylist()]


def main():
    reader, folder = sys.argv[1], sys.argv[2]
    version = int(sys.argv[3]) if len(sys.argv) > 3 else None
    rows = {"deltalake": deltalake_rows, "duckdb": duckdb_rows}[reader](folder, version)
    for row in sorted(rows, key=lambda row: row[0]):
        print(json.dumps(plain(row), ensure_ascii=False))


main()
# A reader's own threads may still run, and an interpreter that ends under them aborts now and then.
sys.stdout.flush()
os._exit(0)
