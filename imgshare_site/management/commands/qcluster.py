"""The worker: django-q2's cluster, whose start and stop are in the ledger."""

import multiprocessing

from django_q.management.commands import qcluster

from policies import running


class Command(qcluster.Command):
    help = "Run the worker: what the bell rings for, and the minute hand."

    def handle(self, *args, **options):
        super().handle(*args, **options)  # comes back when the cluster has forked
        with running.told("worker"):
            for child in multiprocessing.active_children():
                child.join()
