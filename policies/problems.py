"""What a person can act on. Each door puts these into its own dialect; anything else is a crash and is logged."""


class Problem(Exception):
    """A refusal; `str()` is a sentence for the person or the peer who asked."""

    code = "problem"


class Denied(Problem):
    """This person or peer may not do this."""

    code = "denied"


class Conflict(Problem):
    """It could be done, but not now: the state, version or lease has changed."""

    code = "conflict"


class Invalid(Problem):
    """What was given cannot be used as it is."""

    code = "invalid"


class TooMany(Problem):
    """This would be fine, but there was too much of it lately."""

    code = "too_many"
