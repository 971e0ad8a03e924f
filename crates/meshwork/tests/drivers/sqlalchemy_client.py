import datetime as dt
import decimal

import sqlalchemy as sa

from expected import COLUMNS, EMPTY, HOST, MASKED, PASSWORD, PORT, ROW, USER, UTC, refused, same

for driver in ("psycopg", "pg8000"):
    url = sa.URL.create(f"postgresql+{driver}", USER, PASSWORD, HOST, PORT, "meshwork")
    engine = sa.create_engine(url)
    with engine.connect() as c:
        same(c.execute(sa.text("SELECT 1")).scalar(), 1, driver)

    look = sa.inspect(engine)
    same([s for s in look.get_schema_names() if s not in ("information_schema",)], ["vault"], "schemas")
    same(sorted(look.get_table_names("vault")), ["c", "c_v1", "kinds", "kinds_v1"], "tables")
    same(look.get_view_names("vault"), [], "views")
    same((look.has_table("kinds", "vault"), look.has_table("nothing", "vault")), (True, False), "has_table")
    columns = look.get_columns("kinds", "vault")
    same([column["name"] for column in columns], COLUMNS, "columns")
    same((columns[0]["nullable"], columns[1]["nullable"]), (False, True), "nullable")
    types = [sa.BIGINT, sa.BOOLEAN, sa.SMALLINT, sa.DOUBLE_PRECISION, sa.NUMERIC, sa.TEXT, sa.DATE, sa.TIMESTAMP,
             sa.TIMESTAMP, sa.ARRAY]
    for column, kind in zip(columns, types):
        same(isinstance(column["type"], kind), True, f"type of {column['name']}: {column['type']!r}")
    same(look.get_pk_constraint("kinds", "vault")["constrained_columns"], [], "primary key")
    for absent in (look.get_foreign_keys, look.get_indexes, look.get_unique_constraints, look.get_check_constraints):
        same(absent("kinds", "vault"), [], absent.__name__)
    same(look.get_sequence_names("vault"), [], "sequences")
    same(look.get_enums("vault"), [], "enums")

    metadata = sa.MetaData()
    metadata.reflect(engine, schema="vault")
    kinds, people = metadata.tables["vault.kinds"], metadata.tables["vault.c"]
    with engine.connect() as c:
        same([tuple(row) for row in c.execute(sa.select(kinds).order_by(kinds.c.id))], [ROW, EMPTY], "reflected")
        for column, value in zip(COLUMNS[:-1], ROW):
            found = c.execute(sa.select(kinds.c.id).where(kinds.c[column] == value)).all()
            same(found, [(1,)], f"{driver}: where {column}")
        few = sa.select(sa.func.count()).select_from(kinds).where(kinds.c.id.in_([1, 2, 3]))
        same(c.execute(few).scalar(), 2, "in")
        # The type that a driver declares for 5 is its own choice.
        row = c.execute(sa.select(sa.literal("x"), sa.literal(dt.date(2026, 1, 31)), sa.literal(decimal.Decimal("1.5"))))
        same(tuple(row.one()), ("x", dt.date(2026, 1, 31), decimal.Decimal("1.5")), "literals")
        masked = sa.select(people.c.id, people.c.ssn, people.c.salary).order_by(people.c.id)
        same([tuple(row) for row in c.execute(masked)], MASKED, "masks")
    with engine.connect().execution_options(stream_results=True, yield_per=2) as c:
        same([tuple(row) for row in c.execute(masked)], MASKED, "streamed")
    with engine.begin() as c:
        try:
            with c.begin_nested():
                c.execute(sa.text("SELECT 1/0"))
        except sa.exc.DBAPIError:
            pass
        same(c.execute(sa.text("SELECT 2")).scalar(), 2, "after a savepoint")
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as c:
        same(c.execute(sa.text("SELECT 3")).scalar(), 3, "isolation")
    with engine.connect() as c:
        refused(lambda: c.execute(sa.text("SELECT * FROM oracle.c")), lambda e: type(e).__name__, "ProgrammingError", "grant")
    engine.dispose()
print("sqlalchemy: all well")
