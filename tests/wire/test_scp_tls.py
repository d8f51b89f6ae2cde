"""The DICOM door over TLS: both sides show certificates that an authority of ours has signed, or nothing is said."""

import socket
import ssl
from pathlib import Path

import pytest
from pydicom import dcmread

from policies.rules.senders import Sender
from policies.rules.tls import Credentials
from tests.wire.certificates import Certified, Trust, trust_in
from tests.wire.door import CT, Portal, call, eventually

pytestmark = pytest.mark.wire


@pytest.fixture(params=[False, True], ids=["direct", "plain"])
def portal(tmp_path, request, trust):
    credentials = Credentials(trust.ours.certificate, trust.ours.key, trust.authority)
    opened = Portal(tmp_path / "spool", tls=credentials, plain=request.param, request_timeout=1)
    yield opened
    opened.server.shutdown()


def storescu(portal: Portal, shown: Certified, trust: Trust, *files: object, options: tuple[str, ...] = ()):
    words = [f"+tls {shown.key} {shown.certificate}", f"+cf {trust.authority}", *options]
    return call(portal.port, "storescu", *words, *files)


def test_a_known_modality_sends_over_tls(portal, trust):
    done = storescu(portal, trust.theirs, trust, CT)

    assert done.returncode == 0, done.stderr
    assert len(portal.arrivals()) == 1


def test_a_large_object_comes_whole_over_tls(portal, trust, tmp_path):
    """Records of TLS and PDUs do not begin together: what is decrypted already is not lost sight of."""
    ds, sent = dcmread(CT), tmp_path / "sent.dcm"
    ds.Rows, ds.Columns, ds.PixelData = 1200, 1250, bytes(range(250)) * 12_000
    ds.save_as(sent)

    for size in ("4096", "16384", "131072"):
        done = storescu(portal, trust.theirs, trust, sent, options=(f"--max-send-pdu {size}", "-xe"))
        assert done.returncode == 0, done.stderr

    assert [dcmread(path).PixelData == ds.PixelData for path in portal.arrivals()] == [True] * 3


def test_a_stranger_is_not_talked_to(portal, trust):
    done = storescu(portal, trust.stranger, trust, CT)

    assert done.returncode != 0
    assert portal.files() == []
    eventually(lambda: portal.refused)
    [(caller, why)] = portal.refused
    assert (caller.address, why) == ("127.0.0.1", "It showed no certificate that an authority of ours has signed.")
    assert storescu(portal, trust.theirs, trust, CT).returncode == 0


def test_a_renewed_certificate_needs_no_restart(tmp_path):
    trust = trust_in(tmp_path)
    portal = Portal(tmp_path / "spool", tls=Credentials(trust.ours.certificate, trust.ours.key, trust.authority))
    other = trust_in(folder_of(tmp_path, "other"))
    try:
        assert storescu(portal, other.theirs, other, CT).returncode != 0
        trust.ours.certificate.write_bytes(b"half written")
        assert storescu(portal, trust.theirs, trust, CT).returncode == 0
        for new, old in zip((*other.ours, other.authority), (*trust.ours, trust.authority), strict=True):
            new.replace(old)
        now = other._replace(authority=trust.authority)

        assert storescu(portal, other.theirs, now, CT).returncode == 0
    finally:
        portal.server.shutdown()


def folder_of(parent: Path, name: str) -> Path:
    made = parent / name
    made.mkdir()
    return made


def test_who_speaks_no_tls_is_hung_up_on(portal):
    assert portal.call("storescu", CT).returncode != 0
    assert portal.files() == []
    eventually(lambda: [why for _, why in portal.refused] == ["It does not speak TLS as it must here."])


def test_who_shows_no_certificate_is_not_talked_to(portal, trust):
    done = call(portal.port, "storescu", "+tla", f"+cf {trust.authority}", CT)

    assert done.returncode != 0
    assert portal.files() == []
    eventually(lambda: portal.refused)
    assert [why for _, why in portal.refused] == ["It showed no certificate that an authority of ours has signed."]


@pytest.mark.parametrize("name", ["modality", "another"])
def test_a_valid_certificate_is_no_pass_for_the_title_of_another(tmp_path, trust, name):
    credentials = Credentials(trust.ours.certificate, trust.ours.key, trust.authority)
    known = [Sender("A", "MODALITY", "127.0.0.0/8", name)]
    opened = Portal(tmp_path / "spool", tls=credentials, senders=known)
    try:
        done = storescu(opened, trust.theirs, trust, CT)
        assert (done.returncode == 0) == (name == "modality")
        assert ["certificate of modality" in why for _, why in opened.refused] == [True] * (name == "another")
        assert bool(opened.arrivals()) == (name == "modality")
    finally:
        opened.server.shutdown()


def test_who_never_shakes_hands_holds_nobody_up(portal, trust):
    with socket.create_connection(("127.0.0.1", portal.port), timeout=10) as silent:
        assert storescu(portal, trust.theirs, trust, CT).returncode == 0
        assert silent.recv(1) == b""

    eventually(lambda: not portal.server.open_doors)


WEAK = {
    "TLS 1.1": (ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0"),
    "no forward secrecy": (ssl.TLSVersion.TLSv1_2, "AES256-GCM-SHA384"),
    "changes go unnoticed": (ssl.TLSVersion.TLSv1_2, "ECDHE-RSA-AES128-SHA"),
}


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
@pytest.mark.parametrize(("version", "ciphers"), WEAK.values(), ids=WEAK)
def test_what_is_too_weak_is_refused(portal, trust, version, ciphers):
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        shaken(portal, trust, version, ciphers)

    assert shaken(portal, trust, ssl.TLSVersion.TLSv1_2, "ECDHE-RSA-AES128-GCM-SHA256") == "TLSv1.2"


def shaken(portal: Portal, trust: Trust, version: ssl.TLSVersion, ciphers: str) -> str:
    """Shake hands in just this version; gives its name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(trust.authority)
    context.load_cert_chain(trust.theirs.certificate, trust.theirs.key)
    context.set_ciphers(ciphers)
    context.minimum_version = context.maximum_version = version
    plain = socket.create_connection(("127.0.0.1", portal.port), timeout=10)
    with plain, context.wrap_socket(plain) as secured:
        return secured.version()
