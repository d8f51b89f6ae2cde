import pytest
from tests.reconciliation.dicom.edits import *

pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning"
)  # pydicom's, of defects that the test files have on purpose


def test_a_signature_over_a_changed_attribute_is_not_broken_silently(tmp_path):
    mac = item(MACIDNumber=1, DataElementsSigned=[0x00100010])
    ds = ct(MACParametersSequence=[mac], DigitalSignaturesSequence=[item(MACIDNumber=1, Signature=b"12")])
    original = saved(ds, tmp_path / "a.dcm")

    with pytest.raises(CannotWrite, match="digital signature over Patient's Name"):
        edit.make(original, plan())

    mac.DataElementsSigned = [0x00080018]
    assert "DigitalSignaturesSequence" in checked(saved(ds, original), plan(), tmp_path)
