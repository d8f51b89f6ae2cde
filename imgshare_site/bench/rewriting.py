"""Rewriting headers on disk by the RAD-61 list."""

from collections.abc import Callable
from pathlib import Path

from imgshare_site.bench.material import IMPORTER, LOCAL, ct_series, empty, large_multiframe, mg_series
from imgshare_site.bench.measure import Row, compare
from imgshare_site.bench.peers import call, program
from policies.rules import coercion
from policies.rules.coercion import plan
from reconciliation.dicom import edit, header

DCMODIFY = {
    "(0010,0010)": "Muster^Maria",
    "(0010,0020)": "MRN0042",
    "(0010,0021)": "LOCAL",
    "(0010,0030)": "19600229",
    "(0010,0040)": "F",
    "(0008,0050)": "A2026001",
    "(0020,0010)": "77",
}


def rewrite_ct(folder: Path) -> Row:
    """Header rewrite on disk: the RAD-61 list, against copying and seven modified attributes."""
    files, tool = sorted(ct_series(folder, 500).iterdir()), program("dcmodify")

    def theirs() -> None:
        copied = empty(folder / "copied")
        call(["cp", *map(str, files), str(copied)])
        sets = [f"-i={tag}={value}" for tag, value in DCMODIFY.items()]
        flags = [part for one in sets for part in one.split("=", 1)]
        call([tool, "-nb", *flags, *map(str, copied.iterdir())])

    return compare("rewrite headers of 500 CT on disk", "cp + dcmodify", _rewriter(files, folder), theirs, at_most=0.5)


def rewrite_mg(folder: Path) -> Row:
    return _against_cp("rewrite 4 MG of 30 MB on disk", mg_series(folder, 4), folder)


def rewrite_large(folder: Path) -> Row:
    return _against_cp("rewrite one object of 500 MB on disk", large_multiframe(folder, 500), folder)


def _against_cp(work: str, series: Path, folder: Path) -> Row:
    files = sorted(series.iterdir())

    def theirs() -> None:
        call(["cp", *map(str, files), str(empty(folder / "copied"))])

    return compare(work, "cp", _rewriter(files, folder), theirs, at_most=1.2)


def _rewriter(files: list[Path], folder: Path) -> Callable[[], None]:
    changes = plan([header.attributes(files[0], coercion.ATTRIBUTES)], local=LOCAL, importer=IMPORTER)

    def rewrite() -> None:
        made = empty(folder / "made")
        for file in files:
            edit.write(file, made / file.name, changes)

    return rewrite


WORKS = {
    "rewrite-ct": rewrite_ct,
    "rewrite-mg": rewrite_mg,
    "rewrite-large": rewrite_large,
}
