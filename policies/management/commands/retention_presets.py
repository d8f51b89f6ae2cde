"""Load the retention rules of laws and guidelines, inactive."""

from django.core.management.base import BaseCommand

from policies import audit, presets


class Command(BaseCommand):
    help = "Load retention rules of laws and guidelines, inactive; what is here already, by its name, stays as it is."

    def handle(self, **options):
        made = presets.load(by=audit.PORTAL)
        for rule in made:
            self.stdout.write(f"{rule}: {rule.note}")
        self.stdout.write(f"{len(made)} rules loaded, none active.")
