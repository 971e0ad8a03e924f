"""The orders of the comparisons: eight columns, drawn from a hash of the row's number, so that every run writes the same.

    orders.py ROWS FROM FILE      rows FROM .. FROM + ROWS, as Parquet
"""

import sys

import duckdb

rows, first, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
connection = duckdb.connect(config={"preserve_insertion_order": True})
connection.execute(
    f"""
    COPY (
      SELECT
        -- A permutation: the ids are all different and in no order.
        (n * 2654435761) % 4294967291 AS order_id,
        (hash(n, 1) % 400000)::integer AS customer_id,
        ['placed', 'paid', 'shipped', 'delivered', 'returned'][(hash(n, 2) % 5 + 1)::integer] AS status,
        (hash(n, 3) % 100 + 1)::integer AS quantity,
        (hash(n, 4) % 1000000)::double / 100 AS price,
        chr((65 + hash(n, 5) % 26)::integer) || chr((65 + hash(n, 6) % 26)::integer) || chr((65 + hash(n, 7) % 26)::integer)
          || '-' || lpad((hash(n, 8) % 100000)::varchar, 5, '0') AS sku,
        TIMESTAMP '2026-01-01' + to_microseconds((hash(n, 9) % 31536000000000)::bigint) AS placed_at,
        ['DE', 'FR', 'NL', 'PL', 'ES', 'IT', 'SE', 'CZ'][(hash(n, 10) % 8 + 1)::integer] AS country
      FROM range({first}, {first + rows}) AS t(n)
    ) TO '{path}' (FORMAT parquet, COMPRESSION zstd)
    """
)
