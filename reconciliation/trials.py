"""Destinations called to see whether they would take a study: nothing changes there by it."""

from orders.dicom import calling
from policies.models import Destination
from policies.trials import SECONDS, Trial, timed
from reconciliation import delivery
from reconciliation.dicom import scu, web


def destination(to: Destination) -> Trial:
    """By DICOM, by DICOMweb, or by both where a delivery would use both. Each step has its seconds."""
    trials = [ask(to) for ask, is_used in ((_dimse, bool(to.host and to.ae_title)), (_web, bool(_urls(to)))) if is_used]
    return Trial(all(one.answers for one in trials), " ".join(one.sentence for one in trials))


def _dimse(to: Destination) -> Trial:
    waits = dict.fromkeys(("connection_timeout", "acse_timeout", "dimse_timeout"), SECONDS)
    try:
        called = delivery.peer(to, **waits)
    except OSError as problem:
        return Trial(False, f"TLS cannot be used: {problem.strerror or problem}.")
    how = f"{to.ae_title} knows our AE title {called.calling_title}{', over TLS' if to.tls else ''}."
    return timed(lambda: calling.echo(called), how)


def _urls(to: Destination) -> list[str]:
    return list(dict.fromkeys(filter(None, [to.stow_url if to.protocol == to.Protocol.STOW else "", to.query_url])))


def _web(to: Destination) -> Trial:
    trials = [timed(lambda url=url: _why_silent(to, url), f"{url} answers a query.") for url in _urls(to)]
    return Trial(all(one.answers for one in trials), " ".join(one.sentence for one in trials))


def _why_silent(to: Destination, url: str) -> str:
    try:
        return web.why_silent(delivery.site(to, url, connection_timeout=SECONDS, answer_timeout=SECONDS))
    except (scu.Refused, scu.Unreachable) as problem:
        return str(problem)
    except OSError as problem:
        return f"TLS cannot be used: {problem.strerror or problem}."
