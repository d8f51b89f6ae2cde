"""The letter to a sender."""

from policies.rules.letters import Rejected, letter

ABOUT = Rejected(
    institution="Local Hospital",
    contact="imaging desk, extension 12",
    sender="City Clinic",
    day="2026-11-24",
    study_date="2026-09-01",
    modality="CT",
    accession_number="",
    patient_id="OUT-7781",
    reason="The record is not complete.",
    findings=["The study has no birth date."],
)


def test_a_letter_says_which_study_why_and_whom_to_ask():
    text = letter(ABOUT)

    assert "To: City Clinic" in text
    assert "Your patient ID:" in text
    assert "OUT-7781" in text
    assert "Reason: The record is not complete." in text
    assert "  - The study has no birth date." in text
    assert "Questions: imaging desk, extension 12" in text


def test_what_the_sender_did_not_give_is_said_to_be_missing():
    assert "Your accession number:  not given" in letter(ABOUT)
