"""Runs of a product over five million rows: a full run beside DuckDB's COPY and checks, a merge of one percent beside
delta-rs' merge, an append of one percent beside the full run.

    runs.py MESHWORK FOLDER VENVS ROUNDS
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import measure

meshwork, folder, venvs, rounds = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
here = Path(__file__).parent
file, rows = folder / "orders.parquet", 5_000_000
part = rows // 100
python = venvs / "lake" / "bin" / "python"


def product(domain, name, contract, output):
    home = domain / name
    home.mkdir()
    (home / "product.yaml").write_text(
        f"product: {name}\nversion: 1.0.0\nstatus: draft\narchetype: source-aligned\ndescription: Orders.\n"
        f"inputs:\n  orders: {{ source: {{ type: parquet, path: {name}/*.parquet }}{output.pop('incremental', '')} }}\n"
        f"outputs:\n  {name}:\n    contract: {name}.contract.yaml\n" + "".join(f"    {k}: {v}\n" for k, v in output.items())
    )
    (home / f"{name}.contract.yaml").write_text(contract.replace(": orders\n", f": {name}\n"))
    files = domain / name
    os.link(file, files / "orders-0.parquet")
    return files


def mesh(root):
    def call(*arguments):
        subprocess.run([meshwork, *arguments], cwd=root, check=True, stdout=subprocess.DEVNULL)

    subprocess.run([meshwork, "-q", "init", root], check=True, stdout=subprocess.DEVNULL)
    call("-q", "new", "domain", "shop")
    contract = (here / "orders.contract.yaml").read_text()
    # What grows is checked by its new rows alone where no clause looks at the whole table.
    local = contract.replace(", unique: true", "").replace(
        "    quality:\n      - type: library\n        metric: rowCount\n        mustBeGreaterThan: 0\n", "", 1
    )
    domain = root / "domains" / "shop"
    homes = {
        "whole": product(domain, "whole", contract, {"mode": "full"}),
        "merged": product(domain, "merged", contract, {"mode": "merge", "key": "[order_id]", "incremental": ", incremental: files"}),
        "grown": product(domain, "grown", local, {"mode": "append", "incremental": ", incremental: files"}),
    }
    subprocess.run([meshwork, "check", "-q"], cwd=root, check=True)
    call("-q", "apply")
    return homes


def changes(home, number):
    """One percent: half of it new values of rows that are there, spread over the table, half of it new rows."""
    path = home / f"change-{number:03}.parquet"
    old = f"SELECT order_id, customer_id, 'returned' AS status, quantity, price, sku, placed_at, country FROM '{file}' WHERE hash(order_id, {number}) % {rows // (part // 2)} = 0"
    fresh = folder / "fresh.parquet"
    subprocess.run([python, here / "orders.py", str(part // 2), str(rows + number * part), fresh], check=True)
    subprocess.run([python, "-c", f"import duckdb; duckdb.sql(\"\"\"COPY ({old} UNION ALL SELECT * FROM '{fresh}') TO '{path}'\"\"\")"], check=True)
    return path


with tempfile.TemporaryDirectory(dir=folder) as scratch:
    root = Path(scratch) / "mesh"
    homes = mesh(root)
    run = lambda name, *more: measure.run([meshwork, "-q", "run", f"shop.{name}", *more], cwd=root)
    forms = ["distinct", "grouped", "counted"]
    check = lambda form: measure.run([python, here / "duckdb_checks.py", file, form])
    form = min(forms, key=lambda form: min(check(form).cpu for _ in range(3)))
    target = Path(scratch) / "copy.parquet"
    copy = lambda _: measure.run([python, here / "duckdb_copy.py", file, target, form, 512 << 10])
    ours, theirs = measure.alternate(rounds, lambda _: run("whole"), copy)
    measure.heading(f"A run into a checked publication, {rows:,} rows, zstd 1, durable, whole processes, {rounds} rounds")
    measure.line("meshwork run", ours)
    measure.line("DuckDB COPY and checks", theirs, ours, "cpu", 1.0)

    table = Path(scratch) / "delta"
    subprocess.run([python, here / "delta_merge.py", table, file, "create"], check=True)
    run("merged")
    run("grown")
    change = {}

    def our_merge(number):
        change[number] = change.get(number) or changes(homes["merged"], number)
        return run("merged")

    def their_merge(number):
        # Made for both by whoever is first; ours sees it in its folder.
        change[number] = change.get(number) or changes(homes["merged"], number)
        return measure.run([python, here / "delta_merge.py", table, change[number]])

    ours, theirs = measure.alternate(rounds, our_merge, their_merge)
    measure.heading(f"A merge of one percent ({part:,} rows, half of them updates) into {rows:,} rows, {rounds} rounds")
    measure.line("meshwork run, all checks", ours)
    measure.line("delta-rs merge, no checks", theirs, ours, "cpu", 1.0)

    def appended(number):
        fresh = homes["grown"] / f"fresh-{number:03}.parquet"
        subprocess.run([python, here / "orders.py", str(part), str(rows + number * part), fresh], check=True)
        return run("grown")

    small, whole = measure.alternate(rounds, appended, lambda _: run("whole"))
    measure.heading(f"The check after an append of one percent, row-local clauses, {rounds} rounds")
    measure.line("meshwork run, new rows", small)
    measure.line("meshwork run, all rows", whole, small, "cpu", 20)
