"""A merge while studies wait or are decided: told, refused, mapped again in one step, taken back without a trace."""

import pytest

from policies.problems import Conflict, Invalid
from reconciliation import gate, mapping, matching, tasks
from reconciliation.models import Study
from reconciliation.views import cards
from tests import make

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]


@pytest.fixture
def survivor():
    return make.patient("Mueller-Schneider^Anna")


def test_a_patient_who_was_merged_away_is_not_proposed(survivor):
    order = make.order()
    study = make.study("held")
    make.merge(order.patient, survivor)
    assert order.patient not in [card.patient for card in cards.board(study).proposed]

    tasks.sweep()

    assert {one.patient for one in study.proposals.all()} == {survivor}


def test_mapping_to_a_patient_who_was_merged_away_is_refused_with_a_sentence(survivor):
    study, patient = make.study("held"), make.patient()
    make.merge(patient, survivor)
    patient.refresh_from_db()

    with pytest.raises((Invalid, Conflict), match=r"was merged into Mueller-Schneider Anna, 1961-03-04 on .* by ADT"):
        mapping.apply(study, by=make.user("desk"), intent="reference", patient=patient)


def test_a_merge_that_comes_between_the_look_and_the_mapping_is_seen(survivor):
    study, patient = make.study("held"), make.patient()
    make.merge(patient, survivor)  # `patient` is still as it was before

    with pytest.raises((Invalid, Conflict), match="was merged into"):
        mapping.apply(study, by=make.user("desk"), intent="reference", patient=patient)


@pytest.mark.parametrize("state", ["mapped", "cleared"])
def test_the_gate_says_who_was_merged_into_whom_and_by_what(survivor, state):
    study = make.study(state)
    make.merge(study.local_patient, survivor)
    study = Study.objects.get(pk=study.pk)

    assert "was merged into Mueller-Schneider Anna" in gate._local(study)
    assert "by ADT^A40 0815" in gate._local(study)


def test_it_is_mapped_again_in_one_step_to_the_record_that_is_left(survivor):
    study = make.study("mapped")
    make.merge(study.local_patient, survivor)

    made = mapping.again(Study.objects.get(pk=study.pk), by=make.user("desk"))

    study = Study.objects.get(pk=study.pk)
    assert (study.state, study.local_patient, study.order) == ("mapped", survivor, made.order)
    assert gate._local(study) == ""


def test_nothing_is_mapped_again_when_nobody_was_merged():
    with pytest.raises(Conflict, match="was not merged"):
        mapping.again(make.study("mapped"), by=make.user("desk"))


def test_after_the_merge_is_undone_everything_is_as_before(survivor):
    order, waits = make.order(), make.study("held")
    karl = make.order(make.patient("Schmidt^Karl", birth_date=None))
    decided = make.study("mapped", to=karl, PatientName="Schmidt^Karl", PatientID="K")
    matching.refresh(waits)
    before = proposed(waits)
    merges = [make.merge(one, survivor) for one in (order.patient, decided.local_patient)]
    tasks.sweep()
    for merge in merges:
        make.unmerge(merge)
    matching.refresh(waits)

    assert gate._local(Study.objects.get(pk=decided.pk)) == ""
    assert proposed(waits) == before


def proposed(study: Study) -> list[tuple]:
    return list(study.proposals.values_list("patient", "order", "score", "klass"))
