"""The managers' pages: procedures and reasons here, the other topics in modules of their own; the ledger to look at."""

from django.contrib import admin
from django_q.models import Failure, OrmQ, Schedule, Success
from rest_framework.authtoken.models import TokenProxy

from policies import (  # noqa: F401 - further pages
    coercion_admin,
    consent_admin,
    drafts_admin,
    grants_admin,
    partners_admin,
    people_admin,
    retention_admin,
)
from policies.models import LedgerLine, Procedure, Reason
from policies.recorded import LookedAt, Recorded

# A schedule of the worker names any function, and a token is its owner: neither is made by clicking.
admin.site.unregister([Failure, OrmQ, Schedule, Success, TokenProxy])


@admin.register(Procedure)
class Procedures(Recorded):
    list_display = ["meaning", "code", "scheme", "modality", "active"]
    list_filter = ["modality", "active"]
    search_fields = ["meaning", "code"]


@admin.register(Reason)
class Reasons(Recorded):
    list_display = ["code", "sentence", "active"]
    search_fields = ["code", "sentence"]


@admin.register(LedgerLine)
class Ledger(LookedAt):
    """To look at only; the database refuses changes anyway."""

    list_display = ["at", "actor", "verb", "subject", "subject_label", "reason", "address"]
    list_filter = ["verb", "subject"]
    search_fields = ["actor", "subject_key", "subject_label"]
