"""Which feed a message belongs to, and how it is read by that."""

from datetime import tzinfo
from zoneinfo import ZoneInfo

from django.utils import timezone

from orders.hl7.read import Message, parse
from orders.hl7.reading import FIELDS, Reading
from orders.models import Feed
from policies import domains

DEFAULT = Feed()  # of a sender that nobody has set up


def read(raw: bytes) -> tuple[Message, Feed | None]:
    """The message in the character set and the time zone of its feed; raises NotHL7."""
    message = parse(raw, zone=timezone.get_default_timezone())
    feed = feed_of(message)
    if feed and (feed.character_set or feed.time_zone):
        message = parse(raw, charset=feed.character_set, zone=zone_of(feed))
    return message, feed


def feed_of(message: Message) -> Feed | None:
    """The feed that names this sender most closely: by application and facility, by one of them, by neither."""
    sender = (message.sending_application, message.sending_facility)
    return min(
        (
            feed
            for feed in Feed.objects.filter(
                sending_application__in=["", sender[0]], sending_facility__in=["", sender[1]]
            )
        ),
        key=lambda feed: (not feed.sending_application, not feed.sending_facility, feed.name),
        default=None,
    )


def zone_of(feed: Feed) -> tzinfo:
    return ZoneInfo(feed.time_zone) if feed.time_zone else timezone.get_default_timezone()


def reading(feed: Feed | None) -> Reading:
    known = domains.known()
    feed = feed or DEFAULT
    return Reading(
        issuer=known.canonical(feed.issuer),
        anchor=known.canonical(feed.anchor),
        local=known.local,
        canonical=known.canonical,
        zone=zone_of(feed),
        fields={column: getattr(feed, column) for column in FIELDS},
    )
