"""The web process."""

import atexit
import os
from contextlib import ExitStack

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "imgshare_site.settings")
application = get_wsgi_application()

from policies import running  # noqa: E402  (there are models from here on only)

life = ExitStack()
life.enter_context(running.told("web"))
atexit.register(life.close)
