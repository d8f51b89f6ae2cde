"""Rewriting headers on disk by the RAD-61 list."""

from pathlib import Path

from imgshare_site.bench.material import IMPORTER, LOCAL, ct_series, empty
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
    files, tool = sorted(ct_series(folder, 200).iterdir()), program("dcmodify")
    changes = plan([header.attributes(files[0], coercion.ATTRIBUTES)], local=LOCAL, importer=IMPORTER)

    def ours() -> None:
        made = empty(folder / "made")
        for file in files:
            edit.write(file, made / file.name, changes)

    def theirs() -> None:
        made = empty(folder / "copied")
        call(["cp", *map(str, files), str(made)])
        sets = [f"-i={tag}={value}" for tag, value in DCMODIFY.items()]
        flags = [part for one in sets for part in one.split("=", 1)]
        call([tool, "-nb", *flags, *map(str, made.iterdir())])

    return compare("rewrite headers of 200 CT on disk", "cp + dcmodify", ours, theirs, at_most=0.5)


WORKS = {"rewrite-ct": rewrite_ct}
