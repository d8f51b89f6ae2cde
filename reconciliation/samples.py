"""Samples: the first object of each series of a study, read where one object speaks for all."""

from collections.abc import Iterable
from typing import NamedTuple

from django.db.models import OuterRef, Subquery

from reconciliation import stores
from reconciliation.dicom import header
from reconciliation.models import Instance, Series, Study


class Sample(NamedTuple):
    series: Series
    said: dict  # as `header.attributes` gives it


def read(study: Study, keywords: Iterable[str]) -> list[Sample]:
    """These attributes of the first object of each series, from the vault, in the order in which the series came."""
    firsts = Instance.objects.filter(series=OuterRef("pk")).order_by("instance_number", "pk")
    rows = study.series.order_by("pk").annotate(digest=Subquery(firsts.values("digest")[:1]))
    vault, wanted = stores.vault(), tuple(keywords)
    return [Sample(one, header.attributes(vault.path(one.digest), wanted)) for one in rows if one.digest]
