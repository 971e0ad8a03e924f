"""Eight checks on five million rows: `meshwork contract test` beside Great Expectations, Soda, datacontract-cli, pandera
and DuckDB.

    contract_test.py MESHWORK FOLDER VENVS ROUNDS
"""

import shutil
import sys
from pathlib import Path

import measure

meshwork, folder, venvs, rounds = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
here = Path(__file__).parent
file = folder / "orders.parquet"
contract = folder / "orders.contract.yaml"
shutil.copy(here / contract.name, contract)


def python(venv, script, *arguments):
    return lambda _: measure.run([venvs / venv / "bin" / "python", here / script, file, *arguments])


def ours(_):
    return measure.run([meshwork, "contract", "test", contract, "--data", file])


forms = ["distinct", "grouped", "counted"]
best = min(forms, key=lambda form: min(python("lake", "duckdb_checks.py", form)(0).cpu for _ in range(3)))
peers = [
    (f"DuckDB, one query ({best})", python("lake", "duckdb_checks.py", best), "cpu", 1.7),
    ("Great Expectations", python("gx", "gx_checks.py"), "wall", 15),
    ("Soda", python("soda", "soda_checks.py"), "wall", 5),
    (
        "datacontract-cli",
        lambda _: measure.run([venvs / "datacontract" / "bin" / "datacontract", "test", contract.name], cwd=folder),
        "wall",
        5,
    ),
    ("pandera (Polars)", python("pandera", "pandera_checks.py"), "wall", 4),
]
mine, *theirs = measure.alternate(rounds, ours, *(side for _, side, _, _ in peers))
measure.heading(f"Eight checks on {file.name} ({file.stat().st_size >> 20} MB, 5,000,000 rows), whole processes, {rounds} rounds")
measure.line("meshwork contract test", mine)
for (name, _, field, want), samples in zip(peers, theirs):
    measure.line(name, samples, mine, field, want)
