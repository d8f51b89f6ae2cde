import signal, time
import http.client
from urllib.parse import urlsplit
from pydicom.data import get_testdata_file

CT = get_testdata_file("CT_small.dcm")


def get(portal, path):
    c = http.client.HTTPConnection(urlsplit(portal.http_url).netloc, timeout=10)
    c.request("GET", path)
    return c.getresponse()


def test_portal(new_portal, storescu):
    portal = new_portal("storescp", "intake", "qcluster", "web")
    portal.shell("from policies.models import Source; Source.objects.create(name='x', ae_title='STORESCU')")
    assert get(portal, "/admin/login/").status == 200
    done = storescu("-aec", "IMGSHARE", "127.0.0.1", portal.dicom_port, CT)
    assert done.returncode == 0, done.stdout
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        out = portal.shell(
            "from reconciliation.models import Study; print(*Study.objects.values_list('state', flat=True))"
        )
        if out.strip() == "held":
            break
    assert out.strip() == "held", out
    portal.kill("storescp")
    portal.start("storescp")
    portal.kill("qcluster", signal.SIGTERM)
    portal.start("qcluster")
    assert storescu("-aec", "IMGSHARE", "127.0.0.1", portal.dicom_port, CT).returncode == 0


def test_two(new_portal):
    a, b = new_portal(), new_portal()
    assert a.dicom_port != b.dicom_port and a.data_dir != b.data_dir
    assert a.manage("check").returncode == 0
    assert a.manage("no-such").returncode != 0
