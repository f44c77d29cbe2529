"""Prints Iceberg tables, one JSON object a line: columns, count, and rows as text.

Lines of its input name their folders. read.py [ENDPOINT ACCESS SECRET] of an S3
server.
"""

import datetime
import json
import logging
import sys
import traceback

from pyiceberg.table import StaticTable


def text(value):
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime.datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S.%f")
    if isinstance(value, list):
        return "[" + ",".join(str(v) for v in value) + "]"
    return str(value)


logging.disable(logging.WARNING)
properties = {}
if len(sys.argv) > 1:
    properties = {
        "py-io-impl": "pyiceberg.io.pyarrow.PyArrowFileIO",
        "s3.endpoint": sys.argv[1],
        "s3.access-key-id": sys.argv[2],
        "s3.secret-access-key": sys.argv[3],
        "s3.region": "us-east-1",
        "s3.force-virtual-addressing": "false",
    }


def read(folder):
    table = StaticTable.from_metadata(folder, properties)
    scan = table.scan()
    return {
        "count": scan.count(),
        "from3": table.scan(row_filter="id >= 3", selected_fields=("id",)).to_arrow().num_rows,
        "columns": [f.name + " " + str(f.field_type) for f in table.schema().fields],
        "rows": [{name: text(value) for name, value in row.items()} for row in scan.to_arrow().to_pylist()],
    }


for line in sys.stdin:
    try:
        answer = read(line.strip())
    except Exception:
        answer = {"error": traceback.format_exc()}
    print(json.dumps(answer), flush=True)
