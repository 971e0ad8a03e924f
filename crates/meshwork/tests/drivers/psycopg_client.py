import datetime as dt
import decimal
import threading
import time

import psycopg
from psycopg.types import TypeInfo

from expected import COLUMNS, EMPTY, ENDLESS, HOST, MASKED, PASSWORD, PORT, ROW, USER, UTC, refused, same


def connect(**more):
    return psycopg.connect(host=HOST, port=PORT, user=USER, password=PASSWORD, dbname="meshwork", **more)


c = connect(autocommit=True)
same(c.info.server_version // 10000, 16, "version")

# Types, in text and in binary form, with and without a prepared statement.
for binary in (False, True):
    cursor = c.cursor(binary=binary)
    for prepare in (False, True):
        cursor.execute("SELECT * FROM vault.kinds ORDER BY id", prepare=prepare)
        same([column.name for column in cursor.description], COLUMNS, "columns")
        same(cursor.fetchall(), [ROW, EMPTY], f"types, binary={binary}")
same(c.execute("SELECT id, ssn, salary FROM vault.c ORDER BY id").fetchall(), MASKED, "masks")

# Parameters round trip, of every type, in both forms, also where only the client knows the type.
for value in (True, 5, 2**40, 1.5, decimal.Decimal("1.25"), "x'y", dt.date(2026, 1, 31), dt.datetime(2026, 1, 31, 3, 4),
              dt.datetime(2026, 1, 31, 3, 4, tzinfo=UTC), b"\x00\xff", [1, 2]):
    for form in ("%s", "%b"):
        same(c.execute(f"SELECT {form} AS x", (value,)).fetchone()[0], value, f"parameter {value!r} {form}")
same(c.execute("SELECT %s::text[]", (["a", 'b"c'],)).fetchone()[0], ["a", 'b"c'], "array of texts")
same(c.execute("SELECT %s AS x", (None,)).fetchone()[0], None, "null")
for column, value in zip(COLUMNS[:-1], ROW):
    found = c.execute(f"SELECT id FROM vault.kinds WHERE {column} = %s", (value,)).fetchall()
    same(found, [(1,)], f"where {column}")
same(c.execute("SELECT count(*) FROM vault.kinds WHERE id = ANY(%s)", ([1, 2, 9],)).fetchone(), (2,), "any")
same(c.execute("SELECT id FROM vault.kinds WHERE (%s::int IS NULL OR id = %s)", (2, 2)).fetchall(), [(2,)], "reused")
same([c.execute("SELECT %s::int", (i,), prepare=True).fetchone()[0] for i in range(8)], list(range(8)), "prepared")

# A cursor on the server.
with connect() as other:
    for fetched in (1, 1000):
        with other.cursor(name="far") as cursor:
            cursor.itersize = fetched
            cursor.execute("SELECT id, ssn, salary FROM vault.c WHERE id > %s ORDER BY id", (0,))
            same([column.name for column in cursor.description], ["id", "ssn", "salary"], "cursor")
            same(list(cursor), MASKED, "rows of a cursor")
    with other.cursor(name="long", binary=True) as cursor:
        cursor.execute("SELECT value FROM generate_series(1, 10000)")
        same(sum(row[0] for row in cursor), 50005000, "a long cursor")
same(sum(row[0] for row in c.cursor().stream("SELECT value FROM generate_series(1, 10000)")), 50005000, "streamed")

# Transactions within transactions.
with connect() as other:
    with other.transaction():
        try:
            with other.transaction():
                other.execute("SELECT 1/0")
        except psycopg.errors.DivisionByZero:
            pass
        same(other.execute("SELECT 2").fetchone(), (2,), "after a savepoint")
with connect(autocommit=True) as other, other.pipeline():
    first, second = other.execute("SELECT 1"), other.execute("SELECT 2")
    same((first.fetchone(), second.fetchone()), ((1,), (2,)), "pipeline")

# Cancelled, and going on.
for cancel in (c.cancel, lambda: c.cancel_safe(timeout=5)):
    threading.Timer(0.3, cancel).start()
    began = time.monotonic()
    refused(lambda: c.execute(ENDLESS), lambda e: e.sqlstate, "57014", "cancel")
    same(time.monotonic() - began < 5, True, "cancelled soon")
same(c.execute("SELECT 3").fetchone(), (3,), "after a cancel")

for sql, state in (
    ("SELEC 1", "42601"), ("SELECT * FROM vault.nothing", "42P01"), ("SELECT nothing FROM vault.kinds", "42703"),
    ("SELECT nothing(1)", "42883"), ("SELECT 1/0", "22012"), ("SELECT CAST(word AS INT) FROM vault.kinds", "22P02"),
    ("INSERT INTO vault.kinds VALUES (3)", "25006"), ("CREATE TABLE x (a int)", "25006"),
    ("SELECT * FROM oracle.c", "42501"), ("COPY vault.kinds TO STDOUT", "0A000"), ("FETCH 1 FROM nothing", "34000"),
):
    refused(lambda sql=sql: c.execute(sql), lambda e: e.sqlstate, state, sql)
same(TypeInfo.fetch(c, "text").oid, 25, "type information")
same(c.execute("SELECT 1, 1, NULL, NULL").fetchone(), (1, 1, None, None), "the same twice")
print("psycopg: all well")
