"""Print the life of a study as a Mermaid diagram (docs/workflow.md holds it)."""

from django.core.management.base import BaseCommand

from imgshare_site import diagram


class Command(BaseCommand):
    help = "Print the state diagram of a study, drawn from the table of moves."

    def handle(self, **options):
        self.stdout.write(diagram.states())
