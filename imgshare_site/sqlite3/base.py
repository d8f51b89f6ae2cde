"""SQLite for several writers: whoever waits for its lock asks for it as often as everybody else.

SQLite itself asks less often the longer it has waited, so that under constant writers some wait for ever.
"""

import random
import sqlite3
import time

from django.db.backends.sqlite3 import base

PAUSES = 0.001, 0.004  # seconds between two attempts, at random: nobody keeps missing the moment


class Cursor(base.SQLiteCursorWrapper):
    """Tries a statement that finds the database locked again, as long as the settings' `timeout` says."""

    def __init__(self, connection: sqlite3.Connection, patience: float) -> None:
        super().__init__(connection)
        self.patience = patience

    def execute(self, query, params=None):
        return self._at_last(super().execute, query, params)

    def executemany(self, query, param_list):
        return self._at_last(super().executemany, query, list(param_list))

    def _at_last(self, step, *given):
        deadline = time.monotonic() + self.patience
        while True:
            try:
                return step(*given)
            except sqlite3.OperationalError as problem:
                if problem.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
            time.sleep(random.uniform(*PAUSES))  # noqa: S311


class DatabaseWrapper(base.DatabaseWrapper):
    def get_new_connection(self, conn_params: dict) -> sqlite3.Connection:
        connection = super().get_new_connection(conn_params)
        connection.execute("PRAGMA busy_timeout = 0")  # from here on the cursor waits by itself
        return connection

    def create_cursor(self, name=None) -> Cursor:
        patience = self.settings_dict["OPTIONS"].get("timeout", 5)
        return self.connection.cursor(factory=lambda connection: Cursor(connection, patience))
