"""Certificates that the tests show each other: of our door, of a peer that it knows, and of a stranger."""

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

NEW_KEY = ["-newkey", "rsa:2048", "-nodes"]
OPENSSL = shutil.which("openssl", path="/usr/bin:/usr/local/bin")


class Certified(NamedTuple):
    key: Path
    certificate: Path


def openssl(*words: object) -> None:
    subprocess.run([OPENSSL, *map(str, words)], check=True, capture_output=True, timeout=60)


def authority(folder: Path, name: str) -> Certified:
    made = Certified(folder / f"{name}.key", folder / f"{name}.pem")
    subject = ["-subj", f"/CN={name}", "-days", "2", "-addext", "basicConstraints=critical,CA:TRUE"]
    openssl("req", "-x509", *NEW_KEY, "-keyout", made.key, "-out", made.certificate, *subject)
    return made


def certified(folder: Path, name: str, *, by: Certified) -> Certified:
    made, request = Certified(folder / f"{name}.key", folder / f"{name}.pem"), folder / f"{name}.csr"
    openssl("req", *NEW_KEY, "-keyout", made.key, "-out", request, "-subj", f"/CN={name}")
    signer = ["-CA", by.certificate, "-CAkey", by.key, "-CAcreateserial", "-days", "2"]
    openssl("x509", "-req", "-in", request, "-out", made.certificate, *signer)
    return made


class Trust(NamedTuple):
    ours: Certified
    theirs: Certified
    stranger: Certified
    authority: Path
    signer: Certified


def certificate_for(address: str, folder: Path, trust: Trust) -> Certified:
    """Of a peer that is called at this address: who calls compares it."""
    made, request = Certified(folder / "peer.key", folder / "peer.pem"), folder / "peer.csr"
    names = folder / "names"
    names.write_text(f"subjectAltName=IP:{address}")
    openssl("req", *NEW_KEY, "-keyout", made.key, "-out", request, "-subj", "/CN=peer")
    signer = ["-CA", trust.signer.certificate, "-CAkey", trust.signer.key, "-CAcreateserial", "-days", "2"]
    openssl("x509", "-req", "-in", request, "-extfile", names, "-out", made.certificate, *signer)
    return made


def trust_in(folder: Path) -> Trust:
    known, unknown = authority(folder, "known"), authority(folder, "unknown")
    return Trust(
        certified(folder, "door", by=known),
        certified(folder, "modality", by=known),
        certified(folder, "stranger", by=unknown),
        known.certificate,
        known,
    )
