"""Receiving by C-STORE: every object is fsynced by us before the answer, none by DCMTK."""

from collections.abc import Callable
from pathlib import Path

from imgshare_site.bench.material import ct_series
from imgshare_site.bench.measure import Row, compare
from imgshare_site.bench.peers import call, dcmtk_storescp, door, program


def receive_ct(folder: Path) -> Row:
    """C-STORE of CTs by `storescu`: every object fsynced by us, none by DCMTK."""
    files, sender = ct_series(folder, 200), program("storescu")
    with door(folder) as our_port, dcmtk_storescp(folder) as their_port:

        def send(title: str, port: int) -> Callable[[], None]:
            flags = ["-R", "+sd", "--max-send-pdu", "131072", "-aec", title]
            return lambda: call([sender, *flags, "127.0.0.1", str(port), str(files)], TCP_NODELAY="1")

        return compare(
            "receive 200 CT x 0.5 MB, each fsynced",
            "storescp (no fsync)",
            send("IMGSHARE", our_port),
            send("ANY", their_port),
            at_most=1.0,
        )


WORKS = {"receive-ct": receive_ct}
