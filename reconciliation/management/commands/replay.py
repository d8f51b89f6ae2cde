"""Work out every past decision again under the rules of its day, and name those that come out otherwise."""

import json

from django.core.management.base import BaseCommand, CommandError

from reconciliation import replay


class Command(BaseCommand):
    help = "Replay past decisions under the policy versions of their day. Ends with 0 only when all come out the same."

    def add_arguments(self, parser):
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")

    def handle(self, **options):
        done = replay.replay()
        differing = [
            {
                "study": str(one.decided.study_id),
                "topic": one.decided.topic,
                "at": one.decided.at.isoformat(),
                "decided": one.decided.words,
                "replayed": one.now.words,
            }
            for one in done.differing
        ]
        if options["json"]:
            self.stdout.write(json.dumps({"same": done.same, "before": done.before, "differing": differing}))
        else:
            self.stdout.write(f"{done.same} decisions come out the same; {done.before} are older than the versions.")
            for one in differing:
                words = f"{one['topic']} was '{one['decided']}', comes out as '{one['replayed']}'"
                self.stdout.write(f"/studies/{one['study']}/ at {one['at']}: {words}")
        if differing:
            raise CommandError(f"{len(differing)} decisions do not follow from the rules of their day.")
