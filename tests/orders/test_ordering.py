"""What we write of an order, read again by hl7apy, which knows nothing of our writer; and what answers mean."""

from datetime import UTC, date, datetime

import pytest
from hl7apy.parser import parse_message
from hypothesis import given
from hypothesis import strategies as st

from orders.hl7 import ordering, read, write
from orders.hl7.ordering import OMI, ORM

NOW = datetime(2025, 1, 31, 14, 30, tzinfo=UTC)
JANE = ordering.Patient("Doe^Jane", "123456", "HOSP", "1.2.3", "ISO", date(1970, 1, 1), "F")
ENVELOPE = ordering.Envelope("MSG0001", write.Site("IMPORTQ", "RADA"), write.Site("RIS", "HOSP"), NOW)
PLACED = ordering.Order(
    control="NW",
    code="IMPCT",
    scheme="L",
    description="Import outside CT",
    scheduled_at=NOW,
    placer_order_number=("PL778", "IMPORTQ"),
    study_instance_uid="1.2.840.99.1.55",
    modality="CT",
    reason="Import of CT 2024-12-01 from Other Hospital",
    ordering_provider="99^House^Greg",
)
NUMBERED = PLACED._replace(
    control="SN",
    placer_order_number=("", ""),
    filler_order_number=("A1", "IMPORTQ"),
    accession_number=("A1", "HOSP"),
    requested_procedure_id="A1",
    scheduled_procedure_step_id="A1",
)


def written(order=PLACED, patient=JANE, **envelope) -> ordering.Written:
    return ordering.message(order, patient, ENVELOPE._replace(**envelope))


def lines(order=PLACED, patient=JANE, **envelope) -> list[str]:
    return written(order, patient, **envelope).raw.decode().split("\r")[:-1]


def test_a_placed_order_is_the_message_that_the_profile_shows():
    assert lines() == [
        "MSH|^~\\&|IMPORTQ|RADA|RIS|HOSP|20250131143000+0000||ORM^O01|MSG0001|P|2.3.1",
        "PID|||123456^^^HOSP&1.2.3&ISO^MR||Doe^Jane||19700101|F",
        "PV1||O",
        "ORC|NW|PL778^IMPORTQ|||||||20250131143000+0000|||99^House^Greg",
        "OBR|1|PL778^IMPORTQ||IMPCT^Import outside CT^L|||||||||Import of CT 2024-12-01 from Other Hospital"
        "|||99^House^Greg||||||||CT|||^^^20250131143000+0000^^R||||^Import of CT 2024-12-01 from Other Hospital",
    ]


def test_a_numbered_order_says_its_numbers_and_its_study():
    segments = {line[:3]: line.split("|") for line in lines(NUMBERED)}

    assert segments["ORC"][1:6] == ["SN", "", "A1^IMPORTQ", "", "SC"]
    assert segments["OBR"][18:21] == ["A1", "A1", "A1"]
    assert segments["ZDS"][1] == "1.2.840.99.1.55^IMPORTQ^Application^DICOM"


def test_by_omi_the_numbers_stand_in_ipc_and_the_time_in_tq1():
    assert [line[:3] for line in lines(NUMBERED, form=OMI)] == ["MSH", "PID", "PV1", "ORC", "TQ1", "OBR", "IPC"]
    ipc = lines(NUMBERED, form=OMI)[-1]

    assert ipc == "IPC|A1^HOSP|A1|1.2.840.99.1.55|A1|CT|IMPCT^Import outside CT^L"
    assert "OMI^O23^OMI_O23" in lines(form=OMI)[0]


def test_what_omi_requires_and_nobody_knows_yet_is_null():
    assert lines(form=OMI)[-1].startswith('IPC|""|""|1.2.840.99.1.55|""|CT|')


@pytest.mark.parametrize("form", [ORM, OMI])
@pytest.mark.parametrize("order", [PLACED, NUMBERED], ids=["placed", "numbered"])
def test_hl7apy_reads_what_we_wrote(form, order):
    message = parse_message(written(order, form=form).raw.decode(), find_groups=False)

    assert message.pid.pid_3.cx_1.value == "123456"
    assert message.pid.pid_3.cx_4.to_er7() == "HOSP&1.2.3&ISO"
    assert message.orc.orc_1.value == order.control
    assert message.obr.obr_4.ce_2.value == "Import outside CT"
    assert message.orc.orc_12.xcn_2.value == "House"


@pytest.mark.parametrize("order", [PLACED, NUMBERED], ids=["placed", "numbered"])
def test_an_omi_is_valid_by_the_tables_of_the_standard(order):
    assert parse_message(written(order, form=OMI).raw.decode()).validate()


def test_a_name_has_suffix_and_prefix_in_the_order_of_hl7():
    (pid,) = (one for one in lines(patient=JANE._replace(name="Doe^Jane^Q^Dr^PhD")) if one.startswith("PID"))

    assert "|Doe^Jane^Q^PhD^Dr|" in pid


def test_every_script_of_a_name_is_a_repetition():
    name = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    (pid,) = (one for one in lines(patient=JANE._replace(name=name)) if one.startswith("PID"))

    assert "|Yamada^Tarou^^^^^L^A~山田^太郎^^^^^L^I~やまだ^たろう^^^^^L^P|" in pid


def test_a_script_that_the_character_set_lacks_is_left_out():
    made = written(patient=JANE._replace(name="Yamada^Tarou=山田^太郎"), charset="8859/1")

    assert b"|Yamada^Tarou|" in made.raw
    assert made.unwritable == ""


def test_letters_that_the_character_set_lacks_are_told():
    made = written(patient=JANE._replace(name="Wałęsa^Lech"), charset="8859/1")

    assert b"Wa??sa^Lech" in made.raw
    assert made.unwritable == "ęł"


def test_a_letter_of_the_character_set_goes_out_in_it():
    made = written(patient=JANE._replace(name="Müller^Anna"), charset="8859/1")

    assert "Müller".encode("latin_1") in made.raw
    assert b"|8859/1\r" in made.raw


def test_the_referring_physician_stands_in_where_no_provider_is_set():
    told = PLACED._replace(ordering_provider="", referring_physician="Aldous^Petra^^Dr")
    segments = {line[:3]: line.split("|") for line in lines(told)}

    assert segments["ORC"][12] == segments["OBR"][16] == segments["PV1"][8] == "^Aldous^Petra^^^Dr"


anything = st.text(st.characters(codec="utf-8"), max_size=40)


@given(anything, anything, anything, st.sampled_from([ORM, OMI]), st.sampled_from(["UNICODE UTF-8", "8859/1", "ASCII"]))
def test_no_text_adds_a_segment_or_moves_a_field(words, name, number, form, charset):
    order = PLACED._replace(description=words, reason=words, placer_order_number=(number, "IMPORTQ"), modality=words)
    raw = written(order, JANE._replace(name=name, identifier=number), form=form, charset=charset).raw
    plain = written(form=form).raw

    assert [one.name for one in read.parse(raw).segments] == [one.name for one in read.parse(plain).segments]
    assert read.parse(raw).first("OBR").component(4, 1) == "IMPCT"
    assert raw.count(b"\r") == plain.count(b"\r")
    assert not {b"\x0b", b"\x1c", b"\n"} & {bytes([byte]) for byte in raw}


# --- answers ---------------------------------------------------------------------------------------------------------

HEAD = "MSH|^~\\&|RIS|HOSP|IMPORTQ|RADA|20250131143001||{}|R1|P|2.5.1\r"


def answered(*segments: str, kind: str = "ACK") -> ordering.Answer:
    return ordering.answer(read.parse((HEAD.format(kind) + "".join(f"{one}\r" for one in segments)).encode()))


@pytest.mark.parametrize(
    ("code", "verdict"),
    [("AA", "accepted"), ("CA", "accepted"), ("AE", "refused"), ("CE", "refused"), ("AR", "later"), ("CR", "later")],
)
def test_every_code_has_a_verdict(code, verdict):
    assert answered(f"MSA|{code}|MSG0001").verdict == verdict


def test_a_rejection_of_the_header_is_not_to_be_repeated():
    answer = answered("MSA|AR|MSG0001", "ERR||MSH^1^9^1^1|200^Unsupported message type^HL70357|E")

    assert (answer.verdict, answer.words) == ("refused", "Unsupported message type (MSH-9)")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("ERR||PID^1^3|101^Required field missing^HL70357|E||||No such patient", "No such patient (PID-3)"),
        ("ERR|PID^1^3^101&Required field missing&HL70357", "Required field missing (PID-3)"),
        ("ERR||OBR^1^4|103^Table value not found^HL70357|E", "Table value not found (OBR-4)"),
        ("NTE|1||The code\\T\\the map do not agree", "The code&the map do not agree"),
    ],
)
def test_the_words_of_a_refusal_are_found_where_they_stand(error, words):
    assert answered("MSA|AE|MSG0001", error).words == words


def test_unable_to_accept_is_a_refusal_although_the_message_was_accepted():
    answer = answered("MSA|AA|MSG0001", "ORC|UA|PL778^IMPORTQ||||||||||||||X1^Unknown procedure", kind="ORR^O02")

    assert (answer.verdict, answer.words) == ("refused", "Unknown procedure")


def test_the_numbers_of_an_order_response_are_read():
    ipc = "IPC|ACC5512^RIS|RP331^RIS|1.2.840.99.1.55|SPS331^RIS|CT"
    (said,) = answered("MSA|AA|M", "ORC|OK|PL778^IMPORTQ|FL991^RIS", "OBR|1", ipc, kind="ORI^O24").orders

    assert (said.accession_number, said.accession_issuer, said.filler_order_number) == ("ACC5512", "RIS", "FL991")
    assert (said.requested_procedure_id, said.scheduled_procedure_step_id) == ("RP331", "SPS331")


@pytest.mark.parametrize(
    "raw", [b"", b"HTTP/1.1 400 Bad Request", HEAD.format("ACK").encode(), b"MSH|^~\\&|\rMSA|XX|1"]
)
def test_what_is_no_acknowledgement_is_not_taken_for_one(raw):
    with pytest.raises(read.NotHL7):
        ordering.answer(read.parse(raw))
