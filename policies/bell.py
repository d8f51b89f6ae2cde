"""The bell: wakes a worker after the commit. The row stays the queue; a lost ring costs a minute, not a study."""

import logging

from django.db import transaction
from django_q.tasks import async_task

log = logging.getLogger(__name__)


def ring(task: str, key) -> None:
    """Ask a worker to run `task` on the row `key` once this transaction has been committed."""
    transaction.on_commit(lambda: _ring(task, str(key)), robust=True)


def _ring(task: str, key: str) -> None:
    try:
        async_task(task, key)
    except Exception:  # a door of its own: the deed is committed, the sweep will find the row
        log.exception("The bell for %s %s did not ring; the sweep will find it", task, key)
