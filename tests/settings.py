"""Settings of the tests: a data folder of their own, plain static files, and a fast password hasher."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

SCRATCH = Path(tempfile.mkdtemp(prefix="imgshare-tests-"))
atexit.register(shutil.rmtree, SCRATCH, ignore_errors=True)
(SCRATCH / "staticfiles").mkdir()
os.environ["IMGSHARE_DATA_DIR"] = str(SCRATCH)
os.environ.setdefault("IMGSHARE_SECRET_KEY", "only-for-the-tests-and-long-enough-to-be-one-of-many-0123456789")
os.environ["IMGSHARE_MINIMUM_FREE_BYTES"] = "0"
os.environ["IMGSHARE_HL7_SETTINGS_SECONDS"] = "0"
os.environ["IMGSHARE_PEERS"] = "127.0.0.0/8:1-65535,[::1]:1-65535"  # peers of the tests listen at any free port

from imgshare_site.settings import *  # noqa: E402, F403
from imgshare_site.settings import DATABASES, STORAGES  # noqa: E402

STORAGES = {**STORAGES, "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # In memory the threads of a race would share one cache: a file behaves as in production.
    DATABASES["default"]["TEST"] = {"NAME": str(SCRATCH / "test.sqlite3")}
