"""DuckDB alone: loads the generated tables, then answers one query a line.

Reads JSON {"sql": "..."} from standard input and writes JSON {"ms": n, "rows":
[[...]]} or {"error": "..."}: decimals as text, dates as days since 1970.
"""

import datetime
import decimal
import json
import sys
import time

import duckdb

EPOCH = datetime.date(1970, 1, 1)


def cell(value):
    if isinstance(value, decimal.Decimal):
        return str(value)
    if isinstance(value, datetime.datetime):
        raise TypeError("no query gives a timestamp")
    if isinstance(value, datetime.date):
        return (value - EPOCH).days
    return value


def main(folder, schema, threads):
    db = duckdb.connect(config={"threads": int(threads)})
    for line in open(schema):
        if not line.startswith("CREATE TABLE "):
            continue
        name = line.split()[2]
        # Keys would cost DuckDB an index that its queries have no use for.
        line = line.replace(" PRIMARY KEY,", ",")
        if ", PRIMARY KEY (" in line:
            line = line[: line.index(", PRIMARY KEY (")] + ")"
        db.execute(line)
        db.execute(f"COPY {name} FROM '{folder}/{name}.csv' (HEADER, DELIMITER ',', QUOTE '\"')")
    print(json.dumps({"ms": 0, "rows": []}), flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        try:
            rows = db.execute(json.loads(line)["sql"]).fetchall()
        except duckdb.Error as e:
            print(json.dumps({"error": str(e)}), flush=True)
            continue
        ms = (time.perf_counter() - start) * 1000
        print(json.dumps({"ms": ms, "rows": [[cell(v) for v in row] for row in rows]}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
