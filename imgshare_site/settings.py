"""Settings, from the environment alone; imgshare_site/checks.py stops a boot that they would make unsafe."""

import secrets
from pathlib import Path
from urllib.parse import urlsplit

import dj_database_url
from environs import Env

env = Env()
BASE_DIR = Path(__file__).resolve().parent.parent

# Where bytes live. Spool and vault must share a file system: intake moves objects by rename.
DATA_DIR = env.path("IMGSHARE_DATA_DIR", BASE_DIR / "var").resolve()
SPOOL_DIR, VAULT_DIR, CACHE_DIR = DATA_DIR / "spool", DATA_DIR / "vault", DATA_DIR / "cache"
MINIMUM_FREE_BYTES = env.int("IMGSHARE_MINIMUM_FREE_BYTES", 1 << 30)

# The doors.
AE_TITLE = env.str("IMGSHARE_AE_TITLE", "IMGSHARE")
BIND_ADDRESS = env.str("IMGSHARE_BIND_ADDRESS", "127.0.0.1")
HTTP_PORT = env.int("IMGSHARE_HTTP_PORT", 8000)
DICOM_PORT = env.int("IMGSHARE_DICOM_PORT", 11112)
MLLP_PORT = env.int("IMGSHARE_MLLP_PORT", 2575)
PACS_PORT = env.int("IMGSHARE_PACS_PORT", 11113)

# The DICOM door: bytes of the largest PDU (0: any), associations of each process, processes that share the port.
DICOM_PDU = env.int("IMGSHARE_DICOM_PDU", 256 << 10)
DICOM_ASSOCIATIONS = env.int("IMGSHARE_DICOM_ASSOCIATIONS", 100)
DICOM_PROCESSES = env.int("IMGSHARE_DICOM_PROCESSES", 1)
DICOM_PLAIN = env.bool("IMGSHARE_DICOM_PLAIN", False)
# With a certificate it speaks TLS and nothing else, and its peers show certificates too. PEM files.
DICOM_TLS_CERTIFICATE = env.str("IMGSHARE_DICOM_TLS_CERTIFICATE", "")
DICOM_TLS_KEY = env.str("IMGSHARE_DICOM_TLS_KEY", "")
DICOM_TLS_AUTHORITIES = env.str("IMGSHARE_DICOM_TLS_AUTHORITIES", "")
DICOM_TLS_CIPHERS = env.str("IMGSHARE_DICOM_TLS_CIPHERS", "")

# The HL7 door: connections at a time, bytes of the largest message, seconds that a connection may be silent for.
MLLP_CONNECTIONS = env.int("IMGSHARE_MLLP_CONNECTIONS", 100)
MLLP_MESSAGE_BYTES = env.int("IMGSHARE_MLLP_MESSAGE_BYTES", 1 << 20)
MLLP_IDLE_SECONDS = env.int("IMGSHARE_MLLP_IDLE_SECONDS", 600)
# With a certificate it speaks TLS and nothing else, as the DICOM door does.
MLLP_TLS_CERTIFICATE = env.str("IMGSHARE_MLLP_TLS_CERTIFICATE", "")
MLLP_TLS_KEY = env.str("IMGSHARE_MLLP_TLS_KEY", "")
MLLP_TLS_AUTHORITIES = env.str("IMGSHARE_MLLP_TLS_AUTHORITIES", "")
MLLP_TLS_CIPHERS = env.str("IMGSHARE_MLLP_TLS_CIPHERS", "")

# Whom the portal may call: hosts or networks, each with :PORT or :FIRST-LAST (without: the usual ports).
PEERS = env.list(
    "IMGSHARE_PEERS",
    ["127.0.0.0/8", "[::1]", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "[fc00::]/7"],
)
# For every line over TLS that we open: whose word we take for a peer, and what we show to who asks. PEM files.
TLS_AUTHORITIES = env.str("IMGSHARE_TLS_AUTHORITIES", "")
TLS_CERTIFICATE = env.str("IMGSHARE_TLS_CERTIFICATE", "")
TLS_KEY = env.str("IMGSHARE_TLS_KEY", "")

# Who we are in the objects that we rewrite (Contributing Equipment, Original Attributes).
INSTITUTION_NAME = env.str("IMGSHARE_INSTITUTION_NAME", "Local Hospital")
CONTACT = env.str("IMGSHARE_CONTACT", "")  # whom a sender may ask, as letters say it
STATION_NAME = env.str("IMGSHARE_STATION_NAME", "IMGSHARE")

# How long things take, in seconds.
SETTLE_SECONDS = env.int("IMGSHARE_SETTLE_SECONDS", 60)
HL7_SETTINGS_SECONDS = env.float("IMGSHARE_HL7_SETTINGS_SECONDS", 2.0)  # until the HL7 door sees what admin changed
LEASE_SECONDS = env.int("IMGSHARE_LEASE_SECONDS", 120)
EMERGENCY_SECONDS = env.int("IMGSHARE_EMERGENCY_SECONDS", 4 * 3600)  # that a study opened in an emergency stays open
EMERGENCY_ALARM = env.list("IMGSHARE_EMERGENCY_ALARM", [])  # mail addresses that are told of each
EMAIL_HOST = env.str("IMGSHARE_MAIL_HOST", "localhost")
DEFAULT_FROM_EMAIL = env.str("IMGSHARE_MAIL_FROM", "imgshare@localhost")
EMAIL_TIMEOUT = 20
NOTICE_ANSWER_SECONDS = env.int("IMGSHARE_NOTICE_ANSWER_SECONDS", 30)
NOTICE_LEASE_SECONDS = env.int("IMGSHARE_NOTICE_LEASE_SECONDS", 120)
DELIVERY_LEASE_SECONDS = env.int("IMGSHARE_DELIVERY_LEASE_SECONDS", 600)
JOB_SECONDS = env.int("IMGSHARE_JOB_SECONDS", 6 * 3600)
DELETION_GRACE_SECONDS = env.int("IMGSHARE_DELETION_GRACE_SECONDS", 7 * 86400)  # in which an approval may be taken back
VIEWED_LATELY_SECONDS = env.int("IMGSHARE_VIEWED_LATELY_SECONDS", 30 * 86400)  # what was viewed is not deleted so long
LOOKUP_SECONDS = env.int("IMGSHARE_LOOKUP_SECONDS", 900)  # between two look-ups for one study

# Kinds of rules that change only with the approval of a second person: model names, like grant,retentionrule.
POLICY_APPROVAL = env.list("IMGSHARE_POLICY_APPROVAL", [])
# The audit repository (ITI-20) is told of every line of the ledger, over TLS and with certificates of both sides.
ATNA_HOST = env.str("IMGSHARE_ATNA_HOST", "")
ATNA_PORT = env.int("IMGSHARE_ATNA_PORT", 6514)
ATNA_TLS_CERTIFICATE = env.str("IMGSHARE_ATNA_TLS_CERTIFICATE", "")
ATNA_TLS_KEY = env.str("IMGSHARE_ATNA_TLS_KEY", "")
ATNA_TLS_AUTHORITIES = env.str("IMGSHARE_ATNA_TLS_AUTHORITIES", "")
ATNA_TLS_NAME = env.str("IMGSHARE_ATNA_TLS_NAME", "")  # in the repository's certificate, where it is not the host
ATNA_SECONDS = env.int("IMGSHARE_ATNA_SECONDS", 10)  # that the repository may take for one answer
# Anchors of the ledger: a folder on other storage, and people who get one by mail each day.
ANCHOR_DIR = env.path("IMGSHARE_ANCHOR_DIR", DATA_DIR / "anchors")
ANCHOR_MAIL = env.list("IMGSHARE_ANCHOR_MAIL", [])
EMAIL_HOST, EMAIL_PORT = env.str("IMGSHARE_MAIL_HOST", "localhost"), env.int("IMGSHARE_MAIL_PORT", 25)
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.str("IMGSHARE_MAIL_FROM", "imgshare@localhost")
EMAIL_TIMEOUT = 10
# Signing in: how long a session lasts without a sign of its person, and at most; who needs a second factor
# (names of groups, "staff" for the accounts of the administration, "all"); how much one person may look at.
IDLE_SECONDS = env.int("IMGSHARE_IDLE_SECONDS", 15 * 60)
SESSION_SECONDS = env.int("IMGSHARE_SESSION_SECONDS", 12 * 3600)
MFA_REQUIRED = env.list("IMGSHARE_MFA_REQUIRED", [])
# How old the last proof of who somebody is may be, in seconds (0: however old): for grants, second persons,
# destinations and people in the administration; for releasing and deleting at the desk.
REAUTHENTICATE_ADMIN_SECONDS = env.int("IMGSHARE_REAUTHENTICATE_ADMIN_SECONDS", 30 * 60)
REAUTHENTICATE_RELEASE_SECONDS = env.int("IMGSHARE_REAUTHENTICATE_RELEASE_SECONDS", 0)
VIEWS_PER_MINUTE = env.int("IMGSHARE_VIEWS_PER_MINUTE", 120)
VIEWS_PER_DAY = env.int("IMGSHARE_VIEWS_PER_DAY", 3000)
# Lines of one export: above these it needs a reason; above those a permission too, and the ledger has an alert.
EXPORT_REASON = env.int("IMGSHARE_EXPORT_REASON", 500)
EXPORT_LARGE = env.int("IMGSHARE_EXPORT_LARGE", 20_000)
# The hospital's own sign-in by OpenID Connect; off while there is no server.
OIDC_NAME = env.str("IMGSHARE_OIDC_NAME", "Hospital account")
OIDC_SERVER = env.str("IMGSHARE_OIDC_SERVER", "")
OIDC_CLIENT_ID = env.str("IMGSHARE_OIDC_CLIENT_ID", "")
OIDC_CLIENT_SECRET = env.str("IMGSHARE_OIDC_CLIENT_SECRET", "")
OIDC_USER_CLAIM = env.str("IMGSHARE_OIDC_USER_CLAIM", "preferred_username")
OIDC_GROUPS_CLAIM = env.str("IMGSHARE_OIDC_GROUPS_CLAIM", "")  # empty: groups are given here
# Its second factor: the `acr` that it must name (empty: its `amr` counts); whether its silence is trusted.
OIDC_ACR = env.list("IMGSHARE_OIDC_ACR", [])
OIDC_TRUSTED = env.bool("IMGSHARE_OIDC_TRUSTED", True)
OIDC_CREATE = env.bool("IMGSHARE_OIDC_CREATE", False)  # make an account for whoever the server knows

LARGEST_BODY = 16 << 20  # bytes of a request: a scanned form has 10 MB, a file of policies 8
DEBUG = env.bool("IMGSHARE_DEBUG", False)
ALLOWED_HOSTS = env.list("IMGSHARE_ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("IMGSHARE_TRUSTED_ORIGINS", [])
HTTPS = env.bool("IMGSHARE_HTTPS", False)
PROXIES = env.int("IMGSHARE_PROXIES", 0)  # how many of our own stand in front and set X-Forwarded-For


def secret_key() -> str:
    """The key given, or the one kept in the data folder; made there once for a portal that runs out of the box."""
    if given := env.str("IMGSHARE_SECRET_KEY", ""):
        return given
    kept = DATA_DIR / "secret_key"
    DATA_DIR.mkdir(parents=True, exist_ok=True)
    try:
        with kept.open("x") as file:
            kept.chmod(0o600)
            file.write(secrets.token_urlsafe(50))
    except FileExistsError:
        pass
    return kept.read_text()


SECRET_KEY = secret_key()
UID_KEY = env.str("IMGSHARE_UID_KEY", SECRET_KEY)  # new UIDs follow from old ones by it: keep it when the other changes

INSTALLED_APPS = [
    "imgshare_site.apps.SiteConfig",  # before the others: its qcluster is theirs with a line in the ledger
    "imgshare_site.apps.AdministrationConfig",  # django.contrib.admin with its index by topic
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "csp",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.usersessions",
    "django_htmx",
    "django_q",
    "rest_framework",
    "rest_framework.authtoken",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "policies",  # after the others: it takes pages of theirs out of the administration
    "orders",
    "reconciliation",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "imgshare_site.middleware.Whence",
    "imgshare_site.middleware.Bounded",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "imgshare_site.sittings.Clock",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "imgshare_site.sittings.SecondFactor",
    "imgshare_site.again.Again",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "imgshare_site.middleware.Refusals",
    "imgshare_site.middleware.NoNul",
    "imgshare_site.quota.Pages",
    "imgshare_site.middleware.NoStore",
]

ROOT_URLCONF = "imgshare_site.urls"
WSGI_APPLICATION = "imgshare_site.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "imgshare_site.sittings.on_pages",
            ]
        },
    }
]

# SQLite loses writes under several writers unless each transaction takes its lock at once.
SQLITE_OPTIONS = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;",
}
DATABASES = {"default": dj_database_url.parse(env.str("DATABASE_URL", f"sqlite:///{DATA_DIR / 'db.sqlite3'}"))}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"] |= {"ENGINE": "imgshare_site.sqlite3", "OPTIONS": SQLITE_OPTIONS}
else:
    DATABASES["default"]["CONN_MAX_AGE"] = 60
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True

# Shared by all processes: what counts attempts to sign in, and what somebody has looked at.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "cache",
        "OPTIONS": {"MAX_ENTRIES": 20_000},
    }
}

AUTH_USER_MODEL = "policies.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "queue"
LOGOUT_REDIRECT_URL = "login"

# Accounts are made by the administrator: nobody signs up, and no mail is sent.
ACCOUNT_ADAPTER = "imgshare_site.signing_in.Accounts"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_SESSION_REMEMBER = True  # the cookie lives as long as the session, which has clocks of its own
ACCOUNT_REAUTHENTICATION_TIMEOUT = 300
MFA_FORMS = {
    "authenticate": "imgshare_site.signing_in.SecondFactorForm",
    "authenticate_webauthn": "imgshare_site.signing_in.SecurityKeyForm",
}
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_TOTP_ISSUER = "Outside images"
MFA_ALLOW_UNVERIFIED_EMAIL = True
USERSESSIONS_ADAPTER = "imgshare_site.signing_in.Sessions"
SOCIALACCOUNT_ADAPTER = "imgshare_site.identities.Identities"
SOCIALACCOUNT_STORE_TOKENS = False
SOCIALACCOUNT_LOGIN_ON_GET = False
OIDC_APP = {
    "provider_id": "hospital",
    "name": OIDC_NAME,
    "client_id": OIDC_CLIENT_ID,
    "secret": OIDC_CLIENT_SECRET,
    "settings": {"server_url": OIDC_SERVER, "oauth_pkce_enabled": True, "uid_field": "sub"},
}
OIDC_ORIGIN = ["{0.scheme}://{0.netloc}".format(urlsplit(OIDC_SERVER))] if OIDC_SERVER else []  # our form leads there
SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"APPS": [OIDC_APP] if OIDC_SERVER else []}}

SESSION_COOKIE_AGE = SESSION_SECONDS
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'", *OIDC_ORIGIN],
        "frame-ancestors": ["'none'"],
    }
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework.authentication.SessionAuthentication",
        "rest_framework.authentication.TokenAuthentication",
    ],
    "DEFAULT_THROTTLE_CLASSES": ["imgshare_site.quota.Calls"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "reconciliation.views.api.refuse",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Outside images",
    "DESCRIPTION": "The whole workflow without the browser: hold, map, clear, release.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.IsAuthenticated"],
    "ENUM_NAME_OVERRIDES": {
        "OrderOriginEnum": "orders.models.orders.Order.Origin",
        "PolicyDraftStateEnum": "policies.models.versions.PolicyDraft.State",
    },
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

# A delivery may take hours: its lease, renewed while bytes flow, tells that its worker lives; the time-out only ends
# what hangs. retry counts from when a job is taken into the local queue: longer than timeout x 2, or jobs run twice.
Q_CLUSTER = {
    "name": "imgshare",
    "orm": "default",
    "workers": env.int("IMGSHARE_WORKERS", 2),
    "bulk": 1,
    "queue_limit": 1,
    "timeout": JOB_SECONDS,
    "retry": JOB_SECONDS * 2 + 300,
    "max_attempts": 4,
    "ack_failures": False,
    "save_limit": 1000,
    "catch_up": False,
    "poll": 0.5,
    "max_rss": 600_000,
}

LANGUAGE_CODE = "en-gb"
TIME_ZONE = env.str("IMGSHARE_TIME_ZONE", "UTC")
USE_I18N = USE_TZ = True
LANGUAGES = [("en", "English")]
FORMAT_MODULE_PATH = ["imgshare_site.formats"]

STATIC_URL = "static/"
STATIC_ROOT = DATA_DIR / "staticfiles"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env.str("IMGSHARE_LOG_LEVEL", "INFO")},
    "loggers": {"pynetdicom": {"level": "WARNING"}, "pydicom": {"level": "ERROR"}},
}
