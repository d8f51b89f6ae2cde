"""The audit repository is told of every line, whatever mood it is in."""

import re
import socket
import time
from datetime import timedelta
from xml.etree import ElementTree as ET

import pytest
from django.db import transaction
from django.utils import timezone

from policies import atna, audit
from policies.models import AuditMessage, LedgerLine
from tests import make
from tests.policies.rules.test_atna import problems
from tests.wire.certificates import Trust, certificate_for, trust_in
from tests.wire.collector import Collector

pytestmark = pytest.mark.django_db
HEADER = re.compile(rb"<85>1 \S+Z \S+ IMGSHARE \d+ DICOM\+RFC3881 - \xef\xbb\xbf<\?xml")


@pytest.fixture(scope="module")
def trust(tmp_path_factory) -> Trust:
    """The repository is ours here, under the name that the portal calls it by."""
    folder = tmp_path_factory.mktemp("atna")
    made = trust_in(folder)
    return made._replace(ours=certificate_for("127.0.0.1", folder, made))


@pytest.fixture
def told(settings, trust):
    """Points the portal at a port of the audit repository."""

    def to(port: int, by=trust.theirs) -> None:
        settings.ATNA_HOST, settings.ATNA_PORT, settings.ATNA_SECONDS = "127.0.0.1", port, 2
        settings.ATNA_TLS_CERTIFICATE, settings.ATNA_TLS_KEY = by.certificate, by.key
        settings.ATNA_TLS_AUTHORITIES = trust.authority

    return to


def a_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def record(count: int) -> None:
    for number in range(count):
        audit.record("Lee", "map", "study", key=f"k{number}", reason=f"Reason {number}.")


def again() -> None:
    """As if the pause after a refusal were over."""
    AuditMessage.objects.filter(sent_at=None).update(due_at=timezone.now() - timedelta(seconds=1))


def numbers(collector: Collector) -> list[int]:
    """Of which deeds the repository heard, in the order in which it did."""
    return [int(re.search(rb"Reason (\d+)\.", body).group(1)) for body in collector.messages]


def waiting() -> int:
    return AuditMessage.objects.filter(sent_at=None).count()


def test_every_line_arrives_once_in_order_over_one_connection(trust, told):
    with Collector(trust) as collector:
        told(collector.port)
        record(30)

        assert atna.send_due() == 30
    assert (numbers(collector), collector.connections, waiting()) == (list(range(30)), 1, 0)


def test_a_message_is_syslog_with_an_audit_message_of_the_standard(trust, told):
    with Collector(trust) as collector:
        told(collector.port)
        study = make.study("released")
        atna.send_due()

    assert [body[:90] for body in collector.messages if not HEADER.match(body)] == []
    found = [ET.fromstring(body.partition(b"\xef\xbb\xbf")[2]) for body in collector.messages]  # noqa: S314
    assert [problem for root in found for problem in problems(root)] == []
    assert study.study_instance_uid.encode() in b"".join(collector.messages)
    assert {"110104", "110111", "110103"} <= {root.find(".//EventID").get("csd-code") for root in found}


def test_a_dead_repository_holds_up_no_deed_and_loses_none(trust, told):
    port = a_free_port()
    told(port)
    begun = time.monotonic()
    record(20)
    assert time.monotonic() - begun < 2
    assert atna.send_due() == 0
    assert (waiting(), LedgerLine.objects.count()) == (20, 20)

    again()
    with Collector(trust, port=port) as collector:
        assert atna.send_due() == 20
    assert numbers(collector) == list(range(20))


def test_one_that_hangs_up_in_the_middle_gets_the_batch_again(trust, told):
    with Collector(trust, hangs_up_after=7) as fickle:
        told(fickle.port)
        record(400)
        assert atna.send_due() == 0
    assert waiting() == 400

    again()
    with Collector(trust, port=fickle.port) as collector:
        assert atna.send_due() == 400
    assert (numbers(collector), waiting()) == (list(range(400)), 0)


def test_a_slow_one_is_given_up_in_time_and_asked_again_later(trust, told, settings):
    with Collector(trust, pause=0.5) as slow:
        told(slow.port)
        settings.ATNA_SECONDS = 0.5
        record(30)
        begun = time.monotonic()

        assert atna.send_due() == 0
        assert time.monotonic() - begun < 10
    assert AuditMessage.objects.order_by("line").first().due_at > timezone.now()


def test_a_repository_that_nobody_vouches_for_is_told_nothing(trust, told, tmp_path):
    stranger = trust._replace(ours=trust.stranger)
    with Collector(stranger) as collector:
        told(collector.port)
        record(1)

        assert atna.send_due() == 0
    assert (collector.messages, waiting()) == ([], 1)


@pytest.mark.parametrize(("name", "taken"), [("localhost", 0), ("door", 0), ("127.0.0.1", 1)])
def test_a_repository_is_told_only_under_the_name_in_its_certificate(trust, told, settings, name, taken):
    with Collector(trust) as collector:
        told(collector.port)
        settings.ATNA_TLS_NAME = name
        record(1)

        assert atna.send_due() == taken
    assert len(collector.messages) == taken


def test_an_authority_alone_is_not_enough(trust, told):
    """Of a known authority, but for somebody else."""
    with Collector(trust._replace(ours=trust.theirs)) as collector:
        told(collector.port)
        record(1)

        assert atna.send_due() == 0
    assert (collector.messages, waiting()) == ([], 1)


def test_without_our_certificate_the_repository_hears_nothing(trust, told):
    with Collector(trust) as collector:
        told(collector.port, by=trust.stranger)
        record(1)

        assert atna.send_due() == 0
    assert (collector.messages, waiting()) == ([], 1)


def test_while_somebody_sends_nobody_else_does(trust, told):
    with Collector(trust) as collector:
        told(collector.port)
        record(2)
        assert atna._claim() is not None

        assert atna.send_due() == 0
    assert collector.messages == []


def test_a_line_that_is_rolled_back_is_told_to_nobody(trust, told, settings):
    told(1)
    with transaction.atomic():
        record(1)
        transaction.set_rollback(True)

    assert waiting() == 0


def test_where_no_repository_is_named_nothing_waits():
    record(3)

    assert (waiting(), atna.send_due()) == (0, 0)
