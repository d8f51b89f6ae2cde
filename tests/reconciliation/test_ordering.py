"""Orders for the study at hand: the procedure that the map proposes, generating, cancelling, and mapping that waits."""

import pytest
from pydicom.dataset import Dataset

from orders import outbound
from orders.hl7 import read
from orders.models import Notice, Order
from policies.models import ProcedureRule
from policies.problems import Conflict, Denied, Invalid
from reconciliation import mapping, ordering
from tests import make

pytestmark = pytest.mark.django_db


def rule(procedure, **asked) -> ProcedureRule:
    return ProcedureRule.objects.create(procedure=procedure, **asked)


def other(code: str = "OUTXX", **columns):
    return make.Procedure.objects.create(code=code, meaning=f"Outside {code}", **columns)


def test_the_map_proposes_the_procedure_and_says_by_which_line():
    thorax = other("OUTTH")
    make.procedure(modality="CT")
    rule(thorax, modality="CT", words="chest")

    assert ordering.proposed_procedure(make.study())[:2] == (
        thorax,
        "By the procedure map: Outside studies CT, described as “chest”.",
    )


def test_where_no_line_fits_the_only_procedure_for_the_modality_is_proposed():
    ct = make.procedure(modality="CT")
    rule(other(), modality="MR")

    assert ordering.proposed_procedure(make.study()).procedure == ct


def test_of_two_procedures_for_the_modality_a_person_chooses():
    make.procedure(modality="CT")
    other(modality="CT")

    assert ordering.proposed_procedure(make.study())[:2] == (None, "No line of the procedure map fits this study.")


@pytest.mark.parametrize("off", ["line", "procedure"])
def test_what_is_out_of_use_proposes_nothing(off):
    rule(other(active=off != "procedure"), active=off != "line")

    assert ordering.proposed_procedure(make.study()).procedure is None


def test_a_line_for_one_source_is_for_no_other():
    rule(other(), source=make.source("City Clinic"))

    assert ordering.proposed_procedure(make.study()).procedure is None
    assert ordering.proposed_procedure(make.study(of=make.source("City Clinic"))).procedure


def test_the_senders_code_is_read_from_the_objects():
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "CTTH", "99GEN", "CT of the thorax"
    mine = other()
    rule(mine, code="CTTH", scheme="99GEN")

    assert ordering.proposed_procedure(make.study(ProcedureCodeSequence=[code])).procedure == mine
    assert ordering.proposed_procedure(make.study()).procedure is None


def generated(**system) -> tuple:
    make.sequence()
    make.order_system(**system)
    make.procedure(modality="CT")
    study = make.study(InstitutionName="Other Hospital", StudyDate="20241201", ReferringPhysicianName="Aldous^Petra")
    return study, ordering.generate(study, make.patient(), by=make.user("desk"))


def test_the_order_system_reads_what_the_order_is_for():
    _, order = generated(form="OMI_O23")
    obr = read.parse(bytes(order.notices.get().raw)).first("OBR")

    assert obr.text(13) == "Import of outside CT of 2024-12-01 from Other Hospital"
    assert (obr.component(4, 1), obr.component(16, 2)) == ("OUTCT", "Aldous")


@pytest.mark.parametrize(
    ("usual", "typed", "written"),
    [
        ("Weber, Karl", None, "Weber^Karl"),
        ("Radiology", None, "Radiology"),
        ("Weber, Karl", "Lang, Eva", "Lang^Eva"),
        ("Weber, Karl", "", "Aldous^Petra"),
        ("", None, "Aldous^Petra"),
    ],
)
def test_who_asks_for_the_order_is_typed_or_usual_at_the_source_or_named_by_the_study(usual, typed, written):
    make.sequence()
    study = make.study(of=make.source(requester=usual), ReferringPhysicianName="Aldous^Petra")
    order = ordering.generate(study, make.patient(), by=make.user("desk"), procedure=make.procedure(), requester=typed)

    assert order.referring_physician == written


def test_no_study_is_mapped_to_an_order_that_waits_for_its_number():
    study, order = generated()
    with pytest.raises(Conflict, match="RIS is told of it, since"):
        mapping.apply(study, order=order, by=make.user("desk"), intent="reference")
    with pytest.raises(Conflict, match="no accession number yet"):
        mapping.preview(study, order=order)


def test_once_the_number_is_here_mapping_goes_on_with_it():
    study, order = generated()
    order.accession_number = "A26-9913"
    order.save(update_fields=["accession_number"])
    outbound.heard(order, by="RIS")
    made = mapping.apply(study, order=Order.objects.get(), by=make.user("desk"), intent="reference")

    assert made.local["AccessionNumber"] == "A26-9913"


def test_without_a_procedure_the_refusal_says_what_to_do():
    make.sequence()
    with pytest.raises(Invalid, match="Choose the procedure"):
        ordering.generate(make.study(), make.patient(), by=make.user("desk"))


def test_an_order_is_generated_for_a_study_that_one_may_map():
    make.procedure(modality="CT")
    with pytest.raises(Conflict):
        ordering.generate(make.study("mapped"), make.patient(), by=make.user("desk"))
    with pytest.raises(Denied):
        ordering.generate(make.study(), make.patient(), by=make.user("frontdesk"))


def test_nobody_cancels_the_order_of_a_study_that_they_may_not_work_on():
    order = make.order(origin="generated", requested_procedure_id="R1")
    make.study("cleared", to=order)
    there = make.source("Elsewhere")
    lee = make.user("lee", grants=[(power, there, None) for power in ("view", "create order")])
    for own in (None, make.study(of=there)):
        with pytest.raises(Denied, match="may not cancel"):
            ordering.cancel(order, by=lee, reason="Mine", study=own)

    assert Order.objects.get(pk=order.pk).is_open


@pytest.mark.parametrize("state", ["released", "delivered"])
def test_what_was_released_under_an_order_keeps_it(state):
    order = make.order(origin="generated", requested_procedure_id="R1")
    make.study(state, to=order)
    with pytest.raises(Conflict, match="was released under"):
        ordering.cancel(order, by=make.user("desk"), reason="Wrong")

    assert Order.objects.get(pk=order.pk).is_open


def test_a_study_mapped_to_a_cancelled_order_cannot_be_released():
    order = make.order(origin="generated", requested_procedure_id="R1")
    study = make.study("cleared", to=order)
    ordering.cancel(order, by=make.user("desk"), reason="Wrong")
    refusal = ordering.why_not(study, "release", make.user("releaser"))

    assert "was cancelled after the study had been mapped" in str(refusal)
    assert not Notice.objects.exists()
