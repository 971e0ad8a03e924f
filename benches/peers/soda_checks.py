"""The eight checks with Soda on DuckDB."""

import sys

import duckdb
from soda.scan import Scan

connection = duckdb.connect(config={"threads": 2})
connection.execute(f"CREATE VIEW orders AS SELECT * FROM '{sys.argv[1]}'")
scan = Scan()
scan.disable_telemetry()
scan.add_duckdb_connection(connection)
scan.set_data_source_name("duckdb")
scan.add_sodacl_yaml_str(
    """
checks for orders:
  - row_count > 0
  - missing_count(order_id) = 0
  - missing_count(customer_id) = 0
  - duplicate_count(order_id) = 0
  - invalid_count(status) = 0:
      valid values: [placed, paid, shipped, delivered, returned]
  - invalid_count(quantity) = 0:
      valid min: 1
      valid max: 100
  - invalid_count(price) = 0:
      valid min: 0
      valid max: 10000
  - invalid_count(sku) = 0:
      valid regex: '^[A-Z]{3}-[0-9]{5}$'
"""
)
scan.execute()
scan.assert_no_error_logs()
scan.assert_no_checks_fail()
