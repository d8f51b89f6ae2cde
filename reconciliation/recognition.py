"""Recognition: arrivals whose content is here already in another form, found before anything is written.

To compare decodes pixels, so it stands outside of every transaction, and what it may take is limited: hostile objects
cost a batch a minute at most. What was not recognised stays a conflict, with the reason why.
"""

import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from reconciliation import filing, stores
from reconciliation.filing import Content, Read

SECONDS = 60.0  # that the comparisons of one batch may take together
MOST = 4  # contents under one UID that an arrival is compared with
TOO_MANY = "They could not be compared: too much was to be compared at once."


class Known(NamedTuple):
    """A content that is here under some UID, and the file that holds it."""

    content: Content
    path: Path


def recognised(reads: list[Read]) -> list[Read]:
    """The same arrivals; one that is here already in another form has the content that it is the same as."""
    known, deadline = _known(reads), time.monotonic() + SECONDS
    return [_recognised(read, known[read.header.SOPInstanceUID], deadline) if read.header else read for read in reads]


def _known(reads: list[Read]) -> dict[str, list[Known]]:
    vault, known = stores.vault(), defaultdict(list)
    for uid, held in filing.known(reads).items():
        known[uid] = [Known(one.content, vault.path(one.digest)) for one in held]
    return known


def _recognised(read: Read, known: list[Known], deadline: float) -> Read:
    """`known` learns what is new, for the arrivals that follow."""
    if any(one.content == read.content for one in known):
        return read
    why = ""
    for one in known[:MOST]:
        if time.monotonic() > deadline:
            why = TOO_MANY
            break
        difference = stores.comparer().differs(one.path, read.arrival.path)
        if not difference:
            return replace(read, same_as=one.content)
        why = why or difference
    known.append(Known(read.content, read.arrival.path))
    return replace(read, differs=why)
