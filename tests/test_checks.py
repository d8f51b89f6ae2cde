"""Settings that would do harm are refused, each by its own number and with what to do."""

import re
from pathlib import Path

import pytest
from django.conf import settings as site
from django.core.checks import registry
from django.core.management import load_command_class
from django.core.management.base import SystemCheckError

from imgshare_site import checks

ELSEWHERE = Path("/proc/self")  # never the file system of the test's own folder
SQLITE = {"ENGINE": "django.db.backends.sqlite3", "OPTIONS": {"transaction_mode": "IMMEDIATE"}}
POSTGRES = {"ENGINE": "django.db.backends.postgresql"}


def ids(messages) -> list[str]:
    return [message.id for message in messages]


def test_the_settings_as_they_come_pass_every_check():
    assert [message for check in checks.ALWAYS for message in check()] == []


def test_every_check_is_registered_where_it_belongs():
    assert set(checks.ALWAYS) <= set(registry.registry.get_checks())
    assert set(checks.DEPLOY) <= set(registry.registry.get_checks(include_deployment_checks=True))
    assert not set(checks.DEPLOY) & set(registry.registry.get_checks())


@pytest.mark.parametrize("name", ["storescp", "intake"])
def test_a_command_that_loads_no_pages_still_makes_our_own_checks(settings, name):
    settings.AE_TITLE = ""
    command = load_command_class("reconciliation", name)

    with pytest.raises(SystemCheckError, match="E003"):
        command.check(tags=command.requires_system_checks)


def test_every_refusal_says_what_to_do(settings, tmp_path):
    settings.AE_TITLE, settings.HTTP_PORT, settings.LEASE_SECONDS, settings.HTTPS = "", 0, 0, False
    refusals = [message for check in [*checks.ALWAYS, *checks.DEPLOY] for message in check()]

    assert len(refusals) >= 4
    assert all(message.hint.endswith(".") and message.msg.endswith(".") for message in refusals)


def test_a_folder_that_takes_no_file_is_refused(settings, data_dir):
    (data_dir / "in_the_way").write_text("")
    settings.VAULT_DIR = data_dir / "in_the_way" / "vault"

    assert ids(checks.data_folder_is_writable()) == ["imgshare.E001"]


def test_a_folder_that_is_not_there_yet_is_made(data_dir, settings):
    settings.DATA_DIR = data_dir / "new"

    assert checks.data_folder_is_writable() == []
    assert settings.DATA_DIR.is_dir()


def test_spool_and_vault_on_two_file_systems_are_refused(settings, data_dir):
    settings.SPOOL_DIR = ELSEWHERE / "spool"

    assert ids(checks.spool_and_vault_share_a_file_system()) == ["imgshare.E002"]


@pytest.mark.parametrize("title", ["", "A" * 17, " IMGSHARE", "IMGSHARE ", "IMG\\SHARE", "IMG\nSHARE", "BÜRO", "\x7f"])
def test_an_ae_title_that_the_standard_forbids_is_refused(settings, title):
    settings.AE_TITLE = title

    assert ids(checks.ae_title_is_legal()) == ["imgshare.E003"]


@pytest.mark.parametrize("title", ["A", "A" * 16, "OUTSIDE IMAGES", "img_1-2"])
def test_an_ae_title_that_the_standard_allows_is_taken(settings, title):
    settings.AE_TITLE = title

    assert checks.ae_title_is_legal() == []


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_port_out_of_range_is_refused(settings, port):
    settings.DICOM_PORT = port

    assert ids(checks.ports_are_distinct_and_in_range()) == ["imgshare.E004"]


@pytest.mark.parametrize("given", [["CERTIFICATE"], ["CERTIFICATE", "KEY"], ["AUTHORITIES"]])
@pytest.mark.parametrize("door", checks.TLS_DOORS)
def test_half_a_configuration_of_tls_is_refused(settings, given, door):
    for name in given:
        setattr(settings, f"{door}_TLS_{name}", __file__)

    assert ids(checks.doors_are_encrypted_wholly_or_not()) == ["imgshare.E009"]


@pytest.mark.parametrize("door", checks.TLS_DOORS)
def test_tls_with_files_that_cannot_be_read_is_refused(settings, door):
    for name in checks.TLS_FILES:
        setattr(settings, f"{door}_TLS_{name}", "/nowhere.pem")

    assert ids(checks.doors_are_encrypted_wholly_or_not()) == ["imgshare.E009"]


@pytest.mark.parametrize(
    "given",
    [
        {"HOST": "audit.example.org"},
        {"HOST": "audit.example.org", "TLS_CERTIFICATE": __file__, "TLS_KEY": __file__},
        {"HOST": "audit.example.org", **dict.fromkeys(("TLS_CERTIFICATE", "TLS_KEY", "TLS_AUTHORITIES"), __file__)},
        {"TLS_CERTIFICATE": __file__},
    ],
    ids=["no files", "half", "not PEM", "no host"],
)
def test_an_audit_repository_that_could_not_be_told_is_refused(settings, given):
    for name, value in given.items():
        setattr(settings, f"ATNA_{name}", value)

    assert ids(checks.audit_repository_can_be_told()) == ["imgshare.E014"]


def test_without_an_audit_repository_nothing_is_asked():
    assert checks.audit_repository_can_be_told() == []


@pytest.mark.parametrize(("name", "value"), [("MLLP_CONNECTIONS", 0), ("MLLP_MESSAGE_BYTES", 4095)])
def test_a_door_that_no_message_fits_through_is_refused(settings, name, value):
    setattr(settings, name, value)

    assert ids(checks.messages_fit_through_the_door()) == ["imgshare.E010"]


def test_two_doors_on_one_port_are_refused_by_name(settings):
    settings.PACS_PORT = settings.DICOM_PORT

    (refusal,) = checks.ports_are_distinct_and_in_range()

    assert refusal.id == "imgshare.E004"
    assert "IMGSHARE_PACS_PORT" in refusal.msg
    assert "IMGSHARE_HTTP_PORT" not in refusal.msg


@pytest.mark.parametrize("options", [{}, {"OPTIONS": {}}, {"OPTIONS": {"transaction_mode": "DEFERRED"}}])
def test_sqlite_that_waits_with_its_lock_is_refused(monkeypatch, options):
    monkeypatch.setitem(site.DATABASES, "default", {"ENGINE": SQLITE["ENGINE"], **options})

    assert ids(checks.sqlite_takes_its_lock_at_once()) == ["imgshare.E005"]


@pytest.mark.parametrize(("retry", "refused"), [(120, True), (121, False)])
def test_a_worker_that_retries_too_early_is_refused(settings, retry, refused):
    settings.Q_CLUSTER = {"timeout": 60, "retry": retry}

    assert ids(checks.worker_retries_only_what_has_ended()) == ["imgshare.E006"] * refused


@pytest.mark.parametrize(("job", "refused"), [(600, True), (601, False)])
def test_a_worker_that_is_ended_with_its_lease_is_refused(settings, job, refused):
    settings.JOB_SECONDS, settings.DELIVERY_LEASE_SECONDS = job, 600

    assert ids(checks.worker_outlives_a_lease()) == ["imgshare.E011"] * refused


@pytest.mark.parametrize("name", checks.WAITS)
def test_a_wait_of_no_seconds_is_refused(settings, name):
    setattr(settings, name, 0)

    assert ids(checks.waits_are_positive()) == ["imgshare.E007"]


@pytest.mark.parametrize("key", ["k" * 49, "django-insecure-" + "k" * 50])
def test_a_weak_secret_key_is_refused(settings, key):
    settings.SECRET_KEY = key

    (refusal,) = checks.secret_key_is_secret()

    assert refusal.id == "imgshare.E008"
    assert key not in f"{refusal.msg} {refusal.hint}"


def test_a_long_secret_key_is_taken(settings):
    settings.SECRET_KEY = "k" * 50

    assert checks.secret_key_is_secret() == []


@pytest.mark.parametrize("https", [True, False])
def test_pages_in_the_clear_are_warned_about(settings, https):
    settings.HTTPS = https

    assert ids(checks.pages_are_encrypted()) == ["imgshare.W001"] * (not https)


@pytest.mark.parametrize(("database", "warned"), [(SQLITE, True), (POSTGRES, False)])
def test_sqlite_in_production_is_warned_about(monkeypatch, database, warned):
    monkeypatch.setitem(site.DATABASES, "default", database)

    assert ids(checks.database_is_a_server()) == ["imgshare.W002"] * warned


@pytest.mark.parametrize(("hosts", "warned"), [(["*"], True), ([".example.org"], True), (["pacs.example.org"], False)])
def test_a_wildcard_host_is_warned_about(settings, hosts, warned):
    settings.ALLOWED_HOSTS = hosts

    assert ids(checks.hosts_are_named()) == ["imgshare.W003"] * warned


@pytest.mark.parametrize(("who", "warned"), [([], True), (["Managers"], True), (["staff"], False), (["all"], False)])
def test_an_administration_that_a_password_opens_is_warned_about(settings, who, warned):
    settings.MFA_REQUIRED = who

    assert ids(checks.staff_needs_a_second_factor()) == ["imgshare.W004"] * warned


def test_the_example_of_the_environment_names_every_variable_that_the_settings_read():
    """deploy/imgshare.env.example is what an operator fills in: it must not drift."""
    read = re.findall(r'env\.\w+\(\s*"(\w+)"', (site.BASE_DIR / "imgshare_site" / "settings.py").read_text())
    shown = re.findall(r"^#?(\w+)=", (site.BASE_DIR / "deploy" / "imgshare.env.example").read_text(), re.MULTILINE)

    assert sorted(shown) == sorted(set(read))


@pytest.mark.parametrize(("name", "value"), [("PEERS", ["10.0.0.1/8"]), ("TLS_AUTHORITIES", "/nowhere/ca.pem")])
def test_a_portal_that_could_call_nobody_does_not_start(settings, name, value):
    assert checks.calls_go_where_they_may() == []
    setattr(settings, name, value)
    assert ids(checks.calls_go_where_they_may()) == ["imgshare.E012"]
