"""Where the bytes lie: the spool, the vault and the archives' reports of this portal, as the settings name them."""

from django.conf import settings

from reconciliation.dicom.commitment import Reports
from reconciliation.dicom.spool import Spool
from reconciliation.dicom.vault import Vault


def spool() -> Spool:
    return Spool(settings.SPOOL_DIR, minimum_free=settings.MINIMUM_FREE_BYTES)


def vault() -> Vault:
    return Vault(settings.VAULT_DIR)


def reports() -> Reports:
    return Reports(settings.DATA_DIR / "reports")
