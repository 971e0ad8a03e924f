import asyncio
import datetime as dt
import decimal

import asyncpg

from expected import COLUMNS, EMPTY, ENDLESS, HOST, MASKED, PASSWORD, PORT, ROW, USER, UTC, same


async def state_of(action):
    try:
        await action
    except asyncpg.PostgresError as error:
        return error.sqlstate
    return "none"


async def main():
    settings = dict(host=HOST, port=PORT, user=USER, password=PASSWORD, database="meshwork")
    c = await asyncpg.connect(**settings)
    rows = await c.fetch("SELECT * FROM vault.kinds ORDER BY id")
    same(list(rows[0].keys()), COLUMNS, "columns")
    same([tuple(row) for row in rows], [ROW, EMPTY], "types")
    masked = "SELECT id, ssn, salary FROM vault.c ORDER BY id"
    same([tuple(row) for row in await c.fetch(masked)], MASKED, "masks")
    for column, value in zip(COLUMNS[:-1], ROW):
        same(await c.fetchval(f"SELECT id FROM vault.kinds WHERE {column} = $1", value), 1, f"where {column}")
    for ty, value in (("int", 4), ("bigint", 2**40), ("float8", 1.5), ("text", "x"), ("date", dt.date(2026, 1, 31)),
                      ("timestamptz", dt.datetime(2026, 1, 31, 3, 4, tzinfo=UTC)), ("bool", True)):
        same(await c.fetchval(f"SELECT $1::{ty}", value), value, ty)
    same(await c.fetchval("SELECT $1::decimal(10,2)", decimal.Decimal("1.25")), decimal.Decimal("1.25"), "decimal")
    same(await c.fetchval("SELECT $1::int + 1", 4), 5, "sum")
    same(await c.fetchval("SELECT $1", "text"), "text", "untyped")
    same(await c.fetchval("SELECT count(*) FROM vault.kinds WHERE word IS NULL OR word = ANY($1::text[])", ["x"]), 1, "any")
    async with c.transaction():
        found = [tuple(row) async for row in c.cursor(masked, prefetch=2)]
        same(found, MASKED, "cursor")
        try:
            async with c.transaction():
                await c.fetch("SELECT 1/0")
        except asyncpg.DivisionByZeroError:
            pass
        same(await c.fetchval("SELECT 2"), 2, "after a savepoint")
    try:
        await c.fetch(ENDLESS, timeout=0.3)
        same("an answer", "a timeout")
    except asyncio.TimeoutError:
        same(await c.fetchval("SELECT 7"), 7, "after a cancel")
    same(await state_of(c.fetch("SELECT * FROM oracle.c")), "42501", "no agreement")
    same(await state_of(c.fetch("SELECT * FROM vault.nothing")), "42P01", "no table")
    same(await state_of(c.execute("DELETE FROM vault.kinds")), "25006", "read only")
    prepared = await c.prepare("SELECT word, $1::int FROM vault.kinds")
    same([a.type.name for a in prepared.get_attributes()], ["text", "int4"], "described")
    # A pool resets its connections.
    async with asyncpg.create_pool(min_size=1, max_size=1, **settings) as pool:
        for number in (1, 2):
            async with pool.acquire() as pooled:
                same(await pooled.fetchval("SELECT $1::int", number), number, "pooled")
    await c.close()
    print("asyncpg: all well")


asyncio.run(main())
