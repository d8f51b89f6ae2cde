"""The frame as an application: it brings the system checks."""

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig
from django.core.checks import register

from imgshare_site import checks

PORTAL = "portal"  # the tag of our checks, for commands that need no others


class AdministrationConfig(AdminConfig):
    default_site = "imgshare_site.administration.Administration"


class SiteConfig(AppConfig):
    name = "imgshare_site"
    verbose_name = "Outside images"

    def ready(self) -> None:
        for check in checks.ALWAYS:
            register(check, PORTAL)
        for check in checks.DEPLOY:
            register(check, PORTAL, deploy=True)
