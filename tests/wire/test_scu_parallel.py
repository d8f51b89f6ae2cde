"""Several associations for one destination: all objects once, told in one thread, whatever becomes of one of them."""

import threading
import time

import pytest
from pynetdicom import AE
from pynetdicom.sop_class import CTImageStorage

from reconciliation.dicom import scu
from reconciliation.dicom.scu import Unreachable
from tests.wire.rawpeer import data, pdu, raw_peer, response
from tests.wire.test_scu import CT, ExplicitVRLittleEndian, outgoing, peer, receiver, sent

COUNT = 40
OBJECTS = [outgoing(CT, str(number)) for number in range(COUNT)]
KEYS = sorted(each.key for each in OBJECTS)


def test_each_object_is_sent_once_over_several_associations():
    used = set()

    def store(event):
        used.add(event.assoc)
        time.sleep(0.01)
        return 0x0000

    with receiver(handle=store) as port:
        outcomes = sent(peer(port), *OBJECTS, associations=4)

    assert sorted(each.key for each in outcomes) == KEYS
    assert all(each.accepted for each in outcomes)
    assert len(used) == 4


def test_outcomes_are_told_in_the_thread_that_sends(storescp):
    threads = set()
    scu.send(peer(storescp.port), OBJECTS, told=lambda outcome: threads.add(threading.current_thread()), associations=3)

    assert threads == {threading.current_thread()}


def test_a_peer_that_takes_fewer_associations_gets_all_the_same():
    with receiver(handle=lambda event: time.sleep(0.01) or 0x0000, maximum_associations=1) as port:
        outcomes = sent(peer(port), *OBJECTS, associations=3)

    assert sorted(each.key for each in outcomes) == KEYS


def test_one_association_that_is_lost_leaves_its_work_to_the_others():
    lost = threading.Event()

    def script(wire):
        wire.accept()
        while True:
            kind, content = wire.read()
            if kind == 0x05:
                wire.send(pdu(0x06, bytes(4)))
                return
            if content[5] & 1:
                number = wire.message_id(content[6:])
            elif content[5] == 2:
                if number == 3 and not lost.is_set():
                    lost.set()
                    return
                wire.send(data(response(number)))

    outcomes = []
    with raw_peer(script) as port, pytest.raises(Unreachable, match="ended the connection"):
        scu.send(peer(port), OBJECTS, told=outcomes.append, associations=3)

    assert sorted(each.key for each in outcomes) == KEYS
    assert [each.status for each in outcomes].count(None) == 1


def test_what_goes_wrong_here_stops_all_of_them():
    def wrong():
        raise OSError("The disk is broken.")

    objects = [*OBJECTS[:10], outgoing(CT, "wrong", made=wrong), *OBJECTS[10:]]
    outcomes = []
    with receiver(handle=lambda event: time.sleep(0.02) or 0x0000) as port, pytest.raises(OSError, match="broken"):
        scu.send(peer(port), objects, told=outcomes.append, associations=3)

    assert len(outcomes) < COUNT


def test_whoever_hears_may_end_it(storescp):
    before = threading.active_count()

    def stop(outcome):
        raise KeyError("taken over")

    with pytest.raises(KeyError):
        scu.send(peer(storescp.port), OBJECTS, told=stop, associations=3)

    assert threading.active_count() == before


def test_a_peer_that_is_down_is_unreachable_for_all(free_port):
    with pytest.raises(Unreachable):
        sent(peer(free_port), *OBJECTS, associations=3)


def test_a_busy_peer_is_tried_again_later_by_all():
    with receiver(maximum_associations=1) as port:
        ae = AE("OTHER")
        ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
        first = ae.associate("127.0.0.1", port)
        with pytest.raises(Unreachable, match="does not accept a connection now"):
            sent(peer(port), *OBJECTS, associations=2)
        first.release()
