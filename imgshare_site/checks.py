"""System checks: settings that would lose, mix up or expose outside images stop the boot, with what to do about it.

Those in ALWAYS run before every command; those in DEPLOY only with `check --deploy`.
"""

import os
import tempfile
from collections import Counter
from pathlib import Path

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning

from policies.rules import addresses
from policies.rules.tls import initiator_context

PORTS = {f"{door}_PORT": f"IMGSHARE_{door}_PORT" for door in ("HTTP", "DICOM", "MLLP", "PACS")}
WAITS = {
    "SETTLE_SECONDS": "IMGSHARE_SETTLE_SECONDS",
    "LEASE_SECONDS": "IMGSHARE_LEASE_SECONDS",
    "EMERGENCY_SECONDS": "IMGSHARE_EMERGENCY_SECONDS",
    "DELIVERY_LEASE_SECONDS": "IMGSHARE_DELIVERY_LEASE_SECONDS",
    "JOB_SECONDS": "IMGSHARE_JOB_SECONDS",
    "LOOKUP_SECONDS": "IMGSHARE_LOOKUP_SECONDS",
    "MLLP_IDLE_SECONDS": "IMGSHARE_MLLP_IDLE_SECONDS",
    "IDLE_SECONDS": "IMGSHARE_IDLE_SECONDS",
    "SESSION_SECONDS": "IMGSHARE_SESSION_SECONDS",
}
TLS_FILES = ("CERTIFICATE", "KEY", "AUTHORITIES")
TLS_DOORS = {"DICOM": "DICOM", "MLLP": "HL7"}  # as the settings call them, and as people do
SMALLEST_MESSAGE = 4096  # bytes; an order with its patient does not fit into less
SECRET_KEY_LENGTH = 50
INSECURE_PREFIX = "django-insecure-"


def data_folder_is_writable(**kwargs) -> list[CheckMessage]:
    """Every folder of bytes takes a file; made here when it is not there yet."""
    folders = [settings.DATA_DIR, settings.SPOOL_DIR, settings.VAULT_DIR, settings.CACHE_DIR]
    refusals = [(folder, why) for folder in folders if (why := _why_not_writable(folder))]
    return [
        Error(
            f"The folder {folder} cannot be written to: {why}.",
            hint="Set IMGSHARE_DATA_DIR to a folder that belongs to the user who runs the portal.",
            id="imgshare.E001",
        )
        for folder, why in refusals
    ]


def _why_not_writable(folder: Path) -> str:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return error.strerror or str(error)


def spool_and_vault_share_a_file_system(**kwargs) -> list[CheckMessage]:
    """Intake moves objects by rename, which is atomic only within one file system."""
    if _device(settings.SPOOL_DIR) == _device(settings.VAULT_DIR):
        return []
    return [
        Error(
            f"The spool ({settings.SPOOL_DIR}) and the vault ({settings.VAULT_DIR}) are on different file systems.",
            hint="Put both on one file system: what has come in is moved into the vault by renaming it.",
            id="imgshare.E002",
        )
    ]


def _device(folder: Path) -> int:
    """The device of a folder, or of the nearest one above it that exists."""
    nearest = next(place for place in [folder, *folder.parents] if place.exists())
    return nearest.stat().st_dev


def ae_title_is_legal(**kwargs) -> list[CheckMessage]:
    if problem := _ae_title_problem(settings.AE_TITLE):
        return [
            Error(
                f"The AE title {settings.AE_TITLE!r} {problem}.",
                hint="Set IMGSHARE_AE_TITLE to 1 to 16 plain characters, such as IMGSHARE.",
                id="imgshare.E003",
            )
        ]
    return []


def _ae_title_problem(title: str) -> str:
    """PS3.5 6.2, VR AE: at most 16 characters of the default repertoire, no backslash, no control characters."""
    if not 1 <= len(title) <= 16:
        return f"has {len(title)} characters, not 1 to 16"
    if title != title.strip(" "):
        return "begins or ends with a space, which peers do not count"
    if "\\" in title or not all(" " <= character <= "~" for character in title):
        return "holds a backslash, a control character or a character outside ASCII"
    return ""


def ports_are_distinct_and_in_range(**kwargs) -> list[CheckMessage]:
    ports = {variable: getattr(settings, name) for name, variable in PORTS.items()}
    outside = [f"{variable}={port}" for variable, port in ports.items() if not 1 <= port <= 65535]
    seen = Counter(ports.values())
    shared = [f"{variable}={port}" for variable, port in ports.items() if seen[port] > 1]
    problems = [("is not a port number (1 to 65535)", outside), ("is used for more than one door", shared)]
    return [
        Error(f"{', '.join(wrong)} {problem}.", hint="Give every door a free port of its own.", id="imgshare.E004")
        for problem, wrong in problems
        if wrong
    ]


def sqlite_takes_its_lock_at_once(**kwargs) -> list[CheckMessage]:
    """A deferred transaction that turns into a write fails at once when another has written: work is lost."""
    return [
        Error(
            f"The SQLite database {alias!r} does not begin its transactions as IMMEDIATE.",
            hint='Set OPTIONS["transaction_mode"] to "IMMEDIATE", or use PostgreSQL by DATABASE_URL.',
            id="imgshare.E005",
        )
        for alias, database in settings.DATABASES.items()
        if _is_sqlite(database) and database.get("OPTIONS", {}).get("transaction_mode") != "IMMEDIATE"
    ]


def _is_sqlite(database: dict) -> bool:
    return database["ENGINE"].endswith("sqlite3")


def worker_retries_only_what_has_ended(**kwargs) -> list[CheckMessage]:
    """The broker counts from the taking, not from the start: one job may wait for another before it runs."""
    timeout, retry = settings.Q_CLUSTER["timeout"], settings.Q_CLUSTER["retry"]
    if retry > 2 * timeout:
        return []
    return [
        Error(
            f"The worker would run a job again after {retry} s although it may still be running ({timeout} s each).",
            hint="Set retry in Q_CLUSTER to more than twice its timeout.",
            id="imgshare.E006",
        )
    ]


def worker_outlives_a_lease(**kwargs) -> list[CheckMessage]:
    """Killed at the end of its lease, a delivery of a large object would begin again for ever."""
    if settings.JOB_SECONDS > settings.DELIVERY_LEASE_SECONDS:
        return []
    return [
        Error(
            f"The worker ends a job after {settings.JOB_SECONDS} s, before the lease of a delivery has run out.",
            hint="Set IMGSHARE_JOB_SECONDS to the longest time that an object may take on your slowest line.",
            id="imgshare.E011",
        )
    ]


def waits_are_positive(**kwargs) -> list[CheckMessage]:
    return [
        Error(
            f"{variable}={getattr(settings, name)} is not a number of seconds that anybody could work within.",
            hint=f"Set {variable} to 1 or more.",
            id="imgshare.E007",
        )
        for name, variable in WAITS.items()
        if getattr(settings, name) <= 0
    ]


def doors_are_encrypted_wholly_or_not(**kwargs) -> list[CheckMessage]:
    """Half a configuration would be a door that does not open, or one that is open to everybody."""
    return [
        Error(
            f"The {name} door is to speak TLS, but {problem}.",
            hint="Name the PEM files of our certificate, of its key, and of the authorities of our peers: all three.",
            id="imgshare.E009",
        )
        for door, name in TLS_DOORS.items()
        for problem in _problems_of_tls(
            {f"{door}_TLS_{file}": getattr(settings, f"{door}_TLS_{file}") for file in TLS_FILES}
        )
    ]


def _problems_of_tls(names: list[str]) -> list[str]:
    given = {name: getattr(settings, name) for name in names}
    if not any(given.values()):
        return []
    missing = [f"IMGSHARE_{name}" for name, path in given.items() if not path]
    unreadable = [f"IMGSHARE_{name}={path}" for name, path in given.items() if path and not os.access(path, os.R_OK)]
    problems = [(missing, "is not set"), (unreadable, "cannot be read")]
    return [f"{', '.join(wrong)} {problem}" for wrong, problem in problems if wrong]


def calls_go_where_they_may(**kwargs) -> list[CheckMessage]:
    return [
        Error(
            f"The portal would call nobody: {problem}.",
            hint="See IMGSHARE_PEERS and IMGSHARE_TLS_... in docs/operators.md.",
            id="imgshare.E012",
        )
        for problem in _problems_of_calls()
    ]


def _problems_of_calls() -> list[str]:
    found = []
    for entry in settings.PEERS:
        try:
            addresses.read(entry.strip())
        except ValueError as problem:
            found.append(f"in IMGSHARE_PEERS {problem}")
    try:
        initiator_context(settings.TLS_AUTHORITIES, settings.TLS_CERTIFICATE, settings.TLS_KEY)
    except OSError as problem:
        found.append(f"the files of IMGSHARE_TLS_... cannot be used ({problem.strerror or problem})")
    return found


def audit_repository_can_be_told(**kwargs) -> list[CheckMessage]:
    """Lines would wait for it for ever, or nobody would notice that it is told nothing."""
    return [
        Error(
            f"The audit repository would be told nothing: {problem}.",
            hint="With IMGSHARE_ATNA_HOST name the PEM files of our certificate, its key, and its authorities.",
            id="imgshare.E014",
        )
        for problem in _problems_of_atna()
    ]


def _problems_of_atna() -> list[str]:
    files = [f"ATNA_TLS_{name}" for name in TLS_FILES]
    given = [name for name in files if getattr(settings, name)]
    if not settings.ATNA_HOST:
        return [f"{', '.join(f'IMGSHARE_{name}' for name in given)} without IMGSHARE_ATNA_HOST"] if given else []
    found = [] if given else ["IMGSHARE_ATNA_TLS_CERTIFICATE, _KEY and _AUTHORITIES are not set"]
    found += _problems_of_tls(files)
    if not 1 <= settings.ATNA_PORT <= 65535:
        found.append(f"IMGSHARE_ATNA_PORT={settings.ATNA_PORT} is no port")
    if settings.ATNA_SECONDS <= 0:
        found.append(f"IMGSHARE_ATNA_SECONDS={settings.ATNA_SECONDS} gives it no time")
    if found:
        return found
    try:
        initiator_context(settings.ATNA_TLS_AUTHORITIES, settings.ATNA_TLS_CERTIFICATE, settings.ATNA_TLS_KEY)
    except OSError as problem:
        return [f"the files of IMGSHARE_ATNA_TLS_... cannot be used ({problem.strerror or problem})"]
    return []


def messages_fit_through_the_door(**kwargs) -> list[CheckMessage]:
    limits = {"MLLP_CONNECTIONS": 1, "MLLP_MESSAGE_BYTES": SMALLEST_MESSAGE}
    return [
        Error(
            f"IMGSHARE_{name}={getattr(settings, name)}: the HL7 door would take no message.",
            hint=f"Set IMGSHARE_{name} to {least} or more.",
            id="imgshare.E010",
        )
        for name, least in limits.items()
        if getattr(settings, name) < least
    ]


def secret_key_is_secret(**kwargs) -> list[CheckMessage]:
    """Sessions and links are signed with it: whoever guesses it is any user."""
    key = settings.SECRET_KEY
    if len(key) >= SECRET_KEY_LENGTH and not key.startswith(INSECURE_PREFIX):
        return []
    return [
        Error(
            f"The secret key is shorter than {SECRET_KEY_LENGTH} characters, or one that was made for development.",
            hint="Set IMGSHARE_SECRET_KEY to a long random text, or leave it empty and the portal makes one.",
            id="imgshare.E008",
        )
    ]


def pages_are_encrypted(**kwargs) -> list[CheckMessage]:
    if settings.HTTPS:
        return []
    return [
        Warning(
            "Pages and passwords travel in the clear.",
            hint="Put a proxy with a certificate in front and set IMGSHARE_HTTPS=1.",
            id="imgshare.W001",
        )
    ]


def database_is_a_server(**kwargs) -> list[CheckMessage]:
    return [
        Warning(
            f"The database {alias!r} is SQLite: one writer at a time, on one machine, backed up by nobody.",
            hint="Set DATABASE_URL to a PostgreSQL database.",
            id="imgshare.W002",
        )
        for alias, database in settings.DATABASES.items()
        if _is_sqlite(database)
    ]


def hosts_are_named(**kwargs) -> list[CheckMessage]:
    """A wildcard lets a forged Host header end up in links that we send out."""
    wild = [host for host in settings.ALLOWED_HOSTS if host == "*" or host.startswith(".")]
    if not wild:
        return []
    return [
        Warning(
            f"The portal answers to names that are not its own: {', '.join(wild)}.",
            hint="Name every host in IMGSHARE_ALLOWED_HOSTS in full.",
            id="imgshare.W003",
        )
    ]


def staff_needs_a_second_factor(**kwargs) -> list[CheckMessage]:
    if {"all", "staff"} & set(settings.MFA_REQUIRED):
        return []
    return [
        Warning(
            "A password alone opens the administration.",
            hint="Set IMGSHARE_MFA_REQUIRED to staff, or to all.",
            id="imgshare.W004",
        )
    ]


ALWAYS = [
    data_folder_is_writable,
    spool_and_vault_share_a_file_system,
    ae_title_is_legal,
    ports_are_distinct_and_in_range,
    sqlite_takes_its_lock_at_once,
    worker_retries_only_what_has_ended,
    worker_outlives_a_lease,
    waits_are_positive,
    doors_are_encrypted_wholly_or_not,
    messages_fit_through_the_door,
    audit_repository_can_be_told,
    calls_go_where_they_may,
]
DEPLOY = [secret_key_is_secret, pages_are_encrypted, database_is_a_server, hosts_are_named, staff_needs_a_second_factor]
