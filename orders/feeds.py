"""Which feed a message belongs to, and how it is read by that."""

import time
from datetime import tzinfo
from typing import NamedTuple
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils import timezone

from orders.hl7.read import Message, parse
from orders.hl7.reading import FIELDS, Reading
from orders.models import Feed
from policies import domains

DEFAULT = Feed()  # of a sender that nobody has set up


class Site(NamedTuple):
    """All feeds and identifier domains, as they were read at `at` on the monotonic clock."""

    feeds: list[Feed]
    domains: domains.Domains
    at: float

    def read(self, raw: bytes) -> tuple[Message, Feed | None]:
        """The message in the character set and the time zone of its feed; raises NotHL7."""
        message = parse(raw, zone=timezone.get_default_timezone())
        feed = self.feed_of(message)
        if feed and (feed.character_set or feed.time_zone):
            message = parse(raw, charset=feed.character_set, zone=_zone(feed))
        return message, feed

    def feed_of(self, message: Message) -> Feed | None:
        """The feed that names this sender most closely: by application and facility, by one of them, by neither."""
        application, facility = message.sending_application, message.sending_facility
        fitting = [
            feed
            for feed in self.feeds
            if feed.sending_application in ("", application) and feed.sending_facility in ("", facility)
        ]
        return min(fitting, key=lambda one: (not one.sending_application, not one.sending_facility), default=None)

    def reading(self, feed: Feed | None) -> Reading:
        feed = feed or DEFAULT
        return Reading(
            issuer=self.domains.canonical(feed.issuer),
            anchor=self.domains.canonical(feed.anchor),
            local=self.domains.local,
            canonical=self.domains.canonical,
            zone=_zone(feed),
            fields={column: getattr(feed, column) for column in FIELDS},
        )


def load() -> Site:
    return Site(list(Feed.objects.all()), domains.known(), time.monotonic())


_read: list[Site] = []


def lately() -> Site:
    """For the door, which cannot ask the database about every message: a few seconds old."""
    if not _read or time.monotonic() - _read[0].at >= settings.HL7_SETTINGS_SECONDS:
        _read[:] = [load()]
    return _read[0]


def _zone(feed: Feed) -> tzinfo:
    return ZoneInfo(feed.time_zone) if feed.time_zone else timezone.get_default_timezone()
