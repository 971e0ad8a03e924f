"""What the tables of the test hold, and the few helpers that the scripts share."""

import datetime as dt
import decimal
import os
import sys

HOST, PORT, USER = os.environ["PGHOST"], int(os.environ["PGPORT"]), os.environ["PGUSER"]
PASSWORD = os.environ["PGPASSWORD"]
UTC = dt.timezone.utc

COLUMNS = ["id", "flag", "small", "ratio", "price", "word", "day", "at", "local", "tags"]
ROW = (
    1, True, 7, 0.5, decimal.Decimal("12.345"), 'naïve "quoted", 100%\nline', dt.date(2026, 1, 31),
    dt.datetime(2026, 1, 31, 10, 0, 0, 250000, UTC), dt.datetime(2026, 1, 31, 10, 0), ["a", "b, c"],
)
EMPTY = (2,) + (None,) * 9
# Of vault.c, as its masks show it to whom they bind; of its six rows two are outside of the EU.
MASKED = [(1, "nnn-nn-3333", None), (3, "nnn-nn-5555", None), (5, "nnn-nn-7777", None), (6, None, None)]
ENDLESS = "SELECT count(*) FROM generate_series(1, 100000000000)"


def same(found, expected, what=""):
    if found != expected:
        print(f"{what}: found {found!r}, expected {expected!r}", file=sys.stderr)
        sys.exit(1)


def refused(action, sqlstate_of, expected, what):
    try:
        action()
    except Exception as error:  # noqa: BLE001: drivers have no common base
        same(sqlstate_of(error), expected, f"{what} ({error})")
        return
    print(f"{what}: was not refused", file=sys.stderr)
    sys.exit(1)
