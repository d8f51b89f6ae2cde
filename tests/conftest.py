"""What every test may ask for, and what becomes of a test whose peer is not installed."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db import connection

from reconciliation.dicom.spool import Spool
from reconciliation.dicom.vault import Vault

TESTS = Path(__file__).resolve().parent
SHARED = TESTS.parents[1] / "shared" / "data"

# Never the PATH: pynetdicom puts programs of the same names into the virtual environment.
SYSTEM_FOLDERS = "/usr/bin:/usr/sbin:/usr/local/bin:/usr/local/sbin"
PEERS = {
    "wire": {
        "storescu": "dcmtk",
        "storescp": "dcmtk",
        "wlmscpfs": "dcmtk",
        "Orthanc": "orthanc",
        "openssl": "openssl",
        "strace": "strace",
    },
    "browser": {"chromium": "chromium"},
}


def program(name: str) -> str:
    """The path of a peer's program, "" when it is not installed."""
    return shutil.which(name, path=SYSTEM_FOLDERS) or ""


def pytest_addoption(parser):
    parser.addoption("--kills", type=int, default=50, help="How often door and intake are killed at random.")


def pytest_collection_modifyitems(items):
    for item in items:
        for mark in PEERS:
            if item.path.is_relative_to(TESTS / mark):
                item.add_marker(mark)
        if not _asks_a_database(item):
            item.add_marker("once")


def _asks_a_database(item: pytest.Item) -> bool:
    """Whether a test may come out otherwise on another database; what runs in processes of its own always may."""
    apart = any(item.get_closest_marker(mark) for mark in PEERS)
    return apart or bool(item.get_closest_marker("django_db") or "db" in item.fixturenames)


def pytest_runtest_setup(item):
    """A missing peer skips the test at a desk, and fails it in CI: nobody reads the skips there."""
    for mark in PEERS:
        if item.get_closest_marker(mark) and (missing := missing_packages(mark)):
            refuse = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
            refuse(f"missing: {', '.join(missing)} (apt-get install them)")


def missing_packages(mark: str) -> list[str]:
    return sorted({package for name, package in PEERS[mark].items() if not program(name)})


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker):
    """After a transactional test the tables are as the migrations left them, the ledger and its head too."""
    operations = type(connection.ops)  # the class: under Playwright's event loop a thread has a second connection
    empty = operations.execute_sql_flush
    with django_db_blocker.unblock():
        laid = connection.creation.serialize_db_to_string()

    def lay_anew(self, statements: list[str]) -> None:
        with triggers_lifted():
            empty(self, statements)
        connection.creation.deserialize_db_from_string(laid)

    operations.execute_sql_flush = lay_anew


@contextmanager
def triggers_lifted() -> Iterator[None]:
    """The ledger refuses to be emptied, as it must: only here, between two tests, it is."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
            triggers = cursor.fetchall()
            lift, restore = [f'DROP TRIGGER "{name}"' for name, _ in triggers], [sql for _, sql in triggers]
        else:
            cursor.execute("SELECT DISTINCT tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal")
            tables = [table for (table,) in cursor.fetchall()]
            # Within a transaction: a table with checks that still wait cannot be altered.
            checked = ["SET CONSTRAINTS ALL IMMEDIATE", "SET CONSTRAINTS ALL DEFERRED"]
            lift = checked + [f"ALTER TABLE {table} DISABLE TRIGGER USER" for table in tables]
            restore = checked + [f"ALTER TABLE {table} ENABLE TRIGGER USER" for table in tables]
        for statement in lift:
            cursor.execute(statement)
        yield
        for statement in restore:
            cursor.execute(statement)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real DICOM objects beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip("the real objects are not here: no shared/data beside the checkout")
    return SHARED


@pytest.fixture
def data_dir(settings, tmp_path) -> Path:
    """A data folder of the test's own, which the settings point to."""
    root = tmp_path / "data"
    settings.DATA_DIR = root
    settings.SPOOL_DIR, settings.VAULT_DIR, settings.CACHE_DIR = root / "spool", root / "vault", root / "cache"
    for folder in (settings.SPOOL_DIR, settings.VAULT_DIR, settings.CACHE_DIR):
        folder.mkdir(parents=True)
    return root


@pytest.fixture
def spool(settings, data_dir) -> Spool:
    return Spool(settings.SPOOL_DIR, minimum_free=0)


@pytest.fixture
def vault(settings, data_dir) -> Vault:
    return Vault(settings.VAULT_DIR)
