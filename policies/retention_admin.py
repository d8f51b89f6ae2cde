"""How long what came from outside is kept."""

from django.contrib import admin

from policies.models import RetentionRule
from policies.recorded import Recorded


@admin.register(RetentionRule)
class RetentionRules(Recorded):
    list_display = ["name", "priority", "source", "modality", "intent", "period", "active"]
    list_filter = ["active", "intent", "source"]
    search_fields = ["name"]
