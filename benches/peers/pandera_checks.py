"""The eight checks with pandera on Polars, its fastest back end."""

import sys

import pandera.polars as pa
import polars

COLUMNS = ["order_id", "customer_id", "status", "quantity", "price", "sku"]
schema = pa.DataFrameSchema(
    {
        "order_id": pa.Column(polars.Int64, nullable=False, unique=True),
        "customer_id": pa.Column(polars.Int32, nullable=False),
        "status": pa.Column(polars.String, pa.Check.isin(["placed", "paid", "shipped", "delivered", "returned"])),
        "quantity": pa.Column(polars.Int32, pa.Check.in_range(1, 100)),
        "price": pa.Column(polars.Float64, pa.Check.in_range(0, 10000)),
        "sku": pa.Column(polars.String, pa.Check.str_matches(r"^[A-Z]{3}-[0-9]{5}$")),
    },
    checks=pa.Check(lambda data: data.lazyframe.select(polars.len() > 0)),
)
schema.validate(polars.read_parquet(sys.argv[1], columns=COLUMNS))
