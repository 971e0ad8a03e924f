"""The DuckDB column of `scripts/bench`: the same queries on the same files, CPU seconds of the process, warm."""

import json
import resource
import statistics
import sys
import time

import duckdb

folder, report, rounds = sys.argv[1], json.load(open(sys.argv[2])), int(sys.argv[3])
connection = duckdb.connect(config={"threads": report["cores"]})
connection.execute("create schema tpch")
for table in ["customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier"]:
    connection.execute(f"create view tpch.{table} as select * from '{folder}/{table}.parquet'")


def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


print(f"DuckDB {duckdb.__version__}, {report['cores']} threads, {rounds} rounds (reported, no threshold)")
print(f"{'':>4}  {'governed CPU':>12}  {'DuckDB CPU':>12}  {'ratio':>8}  {'governed wall':>13}  {'DuckDB wall':>12}")
for query in report["queries"]:
    cpus, walls = [], []
    for round_ in range(rounds + 1):
        before, start = cpu(), time.perf_counter()
        rows = len(connection.execute(query["sql"]).fetchall())
        if round_:
            cpus.append(cpu() - before)
            walls.append(time.perf_counter() - start)
    assert rows == query["rows"], f"{query['query']}: {rows} rows, want {query['rows']}"
    theirs, wall = statistics.median(cpus), statistics.median(walls)
    print(
        f"{query['query']:>4}  {query['cpu']:>10.3f} s  {theirs:>10.3f} s  {query['cpu'] / theirs:>7.2f}×"
        f"  {query['wall']:>11.3f} s  {wall:>10.3f} s"
    )
