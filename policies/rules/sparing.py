"""What happens again and again is said once in a while, with how often it was not said meanwhile."""

import threading
import time
from collections.abc import Callable, Hashable

MOST = 1024  # whose last time is remembered


class Sparing:
    """Says whether it is time to speak of something again. For threads; each process has its own."""

    def __init__(self, seconds: float = 60, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds, self.clock, self._lock = seconds, clock, threading.Lock()
        self._said: dict[Hashable, tuple[float, int]] = {}  # when it was said last, and how often not since

    def unsaid(self, key: Hashable) -> int | None:
        """How often it was passed over since it was said last; None when it is to be passed over now too."""
        with self._lock:
            now = self.clock()
            at, passed_over = self._said.get(key, (now - self.seconds, 0))
            if now - at < self.seconds:
                self._said[key] = at, passed_over + 1
                return None
            if key not in self._said and len(self._said) >= MOST:
                self._forget(now)
            self._said[key] = now, 0
            return passed_over

    def _forget(self, now: float) -> None:
        """Those whose time is over; under a flood of new ones, the oldest of all."""
        self._said = {key: said for key, said in self._said.items() if now - said[0] < self.seconds}
        while len(self._said) >= MOST:
            del self._said[next(iter(self._said))]
