"""The performance table: our work against a named peer's. Each module holds the rows of one stage of the belt."""

import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from imgshare_site.bench import receiving, rewriting, sending, web
from imgshare_site.bench.measure import Missing, Row, machine

WORKS = receiving.WORKS | rewriting.WORKS | sending.WORKS | web.WORKS


def run(names: list[str], *, told: Callable[[Row | str], None]) -> list[Row]:
    """Measure these works (all when none is named); `told` hears of each as it is done, or why it was left out."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="imgshare-bench-") as folder:
        for name in names or WORKS:
            try:
                row = WORKS[name](Path(folder))
                rows.append(row)
                told(row)
            except Missing as missing:
                told(f"{name}: left out, {missing}")
    return rows


def as_json(rows: list[Row]) -> dict:
    return {"machine": machine(), "rows": [asdict(row) for row in rows]}
