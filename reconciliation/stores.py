"""Where the bytes lie: spool, vault, journal and archives' reports, as the settings name them, and who reads them."""

from functools import cache
from pathlib import Path

from django.conf import settings

from reconciliation.dicom.commitment import Reports
from reconciliation.dicom.content import Comparer
from reconciliation.dicom.journal import Journal
from reconciliation.dicom.reader import Reader
from reconciliation.dicom.spool import Spool
from reconciliation.dicom.vault import Vault


def spool() -> Spool:
    return Spool(settings.SPOOL_DIR, minimum_free=settings.MINIMUM_FREE_BYTES)


def vault() -> Vault:
    return _vault(settings.VAULT_DIR)


def journal() -> Journal:
    """Beside the bytes that it speaks of: whoever copies the vault copies it too."""
    return Journal(settings.VAULT_DIR / "journal")


def reports() -> Reports:
    return Reports(settings.DATA_DIR / "reports")


@cache
def reader() -> Reader:
    """One guarded child for this process."""
    return Reader()


@cache
def comparer() -> Comparer:
    """Another one: it decodes pixels."""
    return Comparer()


@cache
def _vault(root: Path) -> Vault:
    return Vault(root)
