"""The performance table: our work against a named peer's. Each module holds the rows of one stage of the belt."""

import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from imgshare_site.bench import hl7, indexing, ledger, lookup, receiving, rewriting, sending, web
from imgshare_site.bench.measure import Missing, Row, machine

ON_REQUEST = receiving.ON_REQUEST | lookup.ON_REQUEST
WORKS = (
    receiving.WORKS
    | indexing.WORKS
    | rewriting.WORKS
    | sending.WORKS
    | web.WORKS
    | hl7.WORKS
    | lookup.WORKS
    | ledger.WORKS
)


def run(names: list[str], *, told: Callable[[Row | str], None]) -> list[Row]:
    """Measure these works; `told` hears of each as it is done, or why it was left out.

    All when none is named, except those that take more room or time than every machine has to spare.
    """
    rows = []
    with tempfile.TemporaryDirectory(prefix="imgshare-bench-") as folder:
        for name in names or [name for name in WORKS if name not in ON_REQUEST]:
            try:
                row = WORKS[name](Path(folder))
                rows.append(row)
                told(row)
            except Missing as missing:
                told(f"{name}: left out, {missing}")
    return rows


def as_json(rows: list[Row]) -> dict:
    return {"machine": machine(), "rows": [asdict(row) for row in rows]}
