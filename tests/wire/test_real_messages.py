"""All messages of the data set over one connection to the running door."""

from tests.orders.test_real_messages import TABLE
from tests.wire.test_mllp import Sender


def test_each_message_gets_its_answer_and_none_stops_the_door(new_portal, shared):
    folder, portal = shared / "hl7", new_portal("mllp")
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    answers = []
    with Sender(portal.mllp_port) as sender:
        for name in names:
            code, _ = sender.ask((folder / name).read_bytes())
            answers.append((name, code))

    expected = [line.split(" ", 2) for line in TABLE.read_text().splitlines()]
    assert answers == [
        (name[: len(found)], code) for (code, _, name), (found, _) in zip(expected, answers, strict=True)
    ]
