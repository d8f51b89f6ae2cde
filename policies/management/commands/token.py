"""Print the REST token of a user, making it at the first call."""

from django.core.management.base import BaseCommand, CommandError
from rest_framework.authtoken.models import Token

from policies import audit
from policies.models import User


class Command(BaseCommand):
    help = "Print a user's REST token."

    def add_arguments(self, parser):
        parser.add_argument("user", help="User name.")

    def handle(self, user, **options):
        try:
            owner = User.objects.get(username=user)
        except User.DoesNotExist:
            raise CommandError(f"There is no user '{user}'.") from None
        token, created = Token.objects.get_or_create(user=owner)
        if created:
            audit.record("the command line", "make token", owner)
        self.stdout.write(token.key)
