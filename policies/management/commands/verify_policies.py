"""Compare every rule with its newest version, and name those that were changed behind the back of the portal."""

from django.core.management.base import BaseCommand, CommandError

from policies import versions

FOUND = "Found without a version."


class Command(BaseCommand):
    help = "Name every rule that is not what its newest version says. Ends with 0 only when there is none."

    def add_arguments(self, parser):
        parser.add_argument("--adopt", action="store_true", help="First give each rule that has no version its first.")

    def handle(self, *, adopt, **options):
        if adopt:
            self.stdout.write(f"Adopted: {versions.adopt(why=FOUND)}")
        strays = versions.strays()
        for sentence in strays:
            self.stdout.write(sentence)
        if strays:
            raise CommandError(f"{len(strays)} rules are not what their versions say.")
        self.stdout.write("Every rule is what its newest version says.")
