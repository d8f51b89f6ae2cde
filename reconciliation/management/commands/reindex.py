"""Make the rows of studies again from the vault and its journal, for a database that was lost."""

from django.core.management.base import BaseCommand, CommandError

from reconciliation import rebuild


class Command(BaseCommand):
    help = "Rebuild submissions, studies, series and objects from the vault alone; what has a row is passed over."

    def handle(self, **options):
        done = rebuild.rebuild(told=self.stdout.write)
        words = ", ".join(f"{count} {outcome}" for outcome, count in sorted(done.outcomes.items())) or "nothing new"
        self.stdout.write(f"{done.submissions} submissions: {words}.")
        if done.lost:
            raise CommandError(f"The vault does not have {len(done.lost)} objects of its journal: {done.lost[0]} ...")
