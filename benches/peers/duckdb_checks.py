"""The eight checks as one fused DuckDB query. `duckdb_checks.py FILE FORM`: prints the CPU seconds of the query alone.

Uniqueness can be asked in three forms; whoever compares tries all and takes the fastest.
"""

import resource
import sys

import duckdb

FUSED = """
    count(*) AS n,
    count(*) FILTER (WHERE order_id IS NULL) AS no_id,
    count(*) FILTER (WHERE customer_id IS NULL) AS no_customer,
    count(*) FILTER (WHERE status NOT IN ('placed', 'paid', 'shipped', 'delivered', 'returned')) AS bad_status,
    count(*) FILTER (WHERE quantity < 1 OR quantity > 100) AS bad_quantity,
    count(*) FILTER (WHERE price < 0 OR price > 10000) AS bad_price,
    count(*) FILTER (WHERE NOT regexp_full_match(sku, '[A-Z]{3}-[0-9]{5}')) AS bad_sku
"""
FORMS = {
    "distinct": "SELECT {fused}, count(*) - count(DISTINCT order_id) AS doubles FROM '{file}'",
    "grouped": "SELECT {fused}, (SELECT count(*) FROM (SELECT 1 FROM '{file}' GROUP BY order_id HAVING count(*) > 1)) AS doubles FROM '{file}'",
    "counted": "SELECT {fused}, count(order_id) - (SELECT count(*) FROM (SELECT DISTINCT order_id FROM '{file}')) AS doubles FROM '{file}'",
}


def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def check(connection, file, form):
    found = connection.execute(FORMS[form].format(fused=FUSED, file=file)).fetchone()
    assert found[0] > 0 and not any(found[1:]), found


if __name__ == "__main__":
    connection = duckdb.connect(config={"threads": 2})
    before = cpu()
    check(connection, sys.argv[1], sys.argv[2])
    print(cpu() - before)
