"""Mapping and sending: the header is made on the way, against a peer that sends ready files."""

from pathlib import Path

from imgshare_site.bench.material import IMPORTER, LOCAL, ct_series
from imgshare_site.bench.measure import Row, compare
from imgshare_site.bench.peers import call, dcmtk_storescp, program
from policies.rules import coercion
from policies.rules.coercion import plan
from reconciliation.dicom import edit, header, scu


def send_ct(folder: Path) -> Row:
    """Map, write, re-read and send, against sending ready files."""
    files, sender = sorted(ct_series(folder, 200).iterdir()), program("dcmsend")
    changes = plan([header.attributes(files[0], coercion.ATTRIBUTES)], local=LOCAL, importer=IMPORTER)
    made = folder / "outgoing.dcm"

    def outgoing(file: Path) -> scu.Outgoing:
        facts = header.read(file)

        def path() -> Path:
            edit.write(file, made, changes)
            return made

        return scu.Outgoing(file.name, facts.SOPClassUID, facts.SOPInstanceUID, facts.TransferSyntaxUID, path)

    with dcmtk_storescp(folder) as (port, *_):
        peer = scu.Peer("127.0.0.1", port, "ANY", "IMGSHARE")
        return compare(
            "map and send 200 CT",
            "dcmsend of ready files",
            lambda: scu.send(peer, [outgoing(file) for file in files], told=lambda outcome: None),
            lambda: call([sender, "-aec", "ANY", "127.0.0.1", str(port), "+sd", str(files[0].parent)], TCP_NODELAY="1"),
            at_most=1.1,
        )


WORKS = {"send-ct": send_ct}
