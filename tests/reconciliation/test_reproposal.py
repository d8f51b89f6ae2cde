"""Re-proposal: whatever changes, the studies whose proposals would be others are proposed anew; others rest."""

import random
from datetime import date, timedelta

import pytest
from django.utils import timezone

from orders.models import CrossReference, Identifier, Order, Patient
from reconciliation import matching, reproposal, tasks
from reconciliation.models import Lookout, Study
from tests import make

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]


def looked_through() -> None:
    """As after a sweep some minutes ago: nothing that was done before is looked at again."""
    tasks.sweep()
    long_ago = timezone.now() - timedelta(hours=1)
    Patient.objects.update(changed_at=long_ago)
    Order.objects.update(changed_at=long_ago)
    Study.objects.update(touched_at=None)
    Lookout.objects.update(through=timezone.now() - timedelta(seconds=1))


def held(n: int, **keywords) -> list[Study]:
    return [make.study("held", **keywords) for _ in range(n)]


def test_a_change_that_concerns_nobody_touches_nothing():
    held(2)
    looked_through()
    make.order(make.patient("Nguyen^Van", birth_date=date(1980, 1, 1)))

    assert matching.stale() == []


@pytest.mark.parametrize(
    "columns",
    [{"birth_date": None}, {"name": "Other^Name"}, {"name": "Other^Name", "birth_date": date(1961, 4, 3)}],
    ids=["name", "birth date", "day and month swapped"],
)
def test_a_new_patient_touches_the_studies_that_may_show_them(columns):
    (study,) = held(1)
    looked_through()
    make.patient(**columns)

    assert matching.stale() == [study]


def test_a_new_identifier_or_link_touches_the_study_that_bears_it():
    (study,) = held(1)
    stranger = make.patient("Other^Name", birth_date=None)
    looked_through()
    CrossReference.objects.create(
        patient=stranger, value="OUT-7781", issuer="GENERAL HOSPITAL", origin="pix", by="PIX", at=timezone.now()
    )
    stranger.save(update_fields=["changed_at"])

    assert matching.stale() == [study]


def test_a_patient_who_became_somebody_else_touches_the_study_that_was_proposed_them():
    patient = make.order().patient
    (study,) = held(1)
    looked_through()
    patient.name, patient.birth_date = "Other^Name", date(1990, 9, 9)
    patient.save(update_fields=["name", "birth_date"])

    assert matching.stale() == [study]
    matching.propose(study)
    assert study.proposals.count() == 0


def test_an_order_that_moves_to_another_patient_touches_those_who_were_proposed_it():
    order = make.order()
    (study,) = held(1)
    looked_through()
    order.patient = make.patient("Other^Name", birth_date=None)
    order.save(update_fields=["patient", "changed_at"])

    assert matching.stale() == [study]


def test_a_new_name_of_an_issuer_makes_everything_stale_once():
    (study,) = held(1)
    looked_through()
    make.authority("GH", "GENERAL HOSPITAL")

    assert matching.stale() == [study]
    matching.propose(study)
    assert matching.stale() == []


def test_what_was_not_looked_at_for_a_day_is_looked_at_whatever_happened():
    (study,) = held(1)
    looked_through()
    Study.objects.update(proposed_at=timezone.now() - timedelta(days=1, minutes=1))

    assert matching.stale() == [study]


def test_a_flood_of_changes_touches_everybody(monkeypatch):
    studies = held(2)
    looked_through()
    monkeypatch.setattr(reproposal, "FLOOD", 1)
    for name in ("One^A", "Two^B"):
        make.patient(name, birth_date=None)

    assert set(matching.stale()) == set(studies)


def test_a_sweep_takes_a_bounded_number_and_those_first_that_rested_longest():
    first, second, third = held(3)
    looked_through()
    now = timezone.now()
    for hours, study in ((1, second), (2, third), (3, first)):
        Study.objects.filter(pk=study.pk).update(proposed_at=now - timedelta(hours=hours), touched_at=now)

    assert matching.stale(limit=2) == [first, third]


def test_a_touch_during_a_look_is_not_lost(monkeypatch):
    (study,) = held(1)
    look = matching.look

    def touched_meanwhile(*given, **named):
        Study.objects.filter(pk=study.pk).update(touched_at=timezone.now())
        return look(*given, **named)

    looked_through()
    monkeypatch.setattr(matching, "look", touched_meanwhile)
    matching.propose(study)

    assert matching.stale() == [study]


def proposed(study: Study) -> list[tuple]:
    rows = study.proposals.order_by("rank").values_list("patient", "order", "klass", "score", "ambiguous")
    return [(*row[:3], round(row[3], 6), row[4]) for row in rows]


NAMES = [
    "Mueller^Anna",
    "Müller^Ann",
    "Schmidt^Karl",
    "Anna^Mueller",
    "Schmitt^Carl",
    "Nguyen^Van",
    "Mueller^Anna^Maria",
]
DAYS = [date(1961, 3, 4), date(1961, 4, 3), date(1961, 3, 14), date(1980, 7, 7), None]
NUMBERS = ["OUT-1", "OUT-2", "OUT-3"]


def _random_change(dice: random.Random) -> None:
    """One change as the feed or a person would make it: everybody concerned is marked as changed."""
    someone = dice.choice(list(Patient.objects.filter(merged_into=None)))
    kind = dice.randrange(7)
    if kind == 0:
        someone.name, someone.birth_date = dice.choice(NAMES), dice.choice(DAYS)
        someone.save(update_fields=["name", "birth_date"])
    elif kind == 1:
        number = {"value": dice.choice(NUMBERS), "issuer": dice.choice(["GENERAL HOSPITAL", "LAKESIDE"])}
        if not Identifier.objects.filter(**number).exists():
            someone.identifiers.create(**number)
        someone.save(update_fields=["changed_at"])
    elif kind == 2:
        make.order(someone, modality=dice.choice(["CT", "MR"]))
    elif kind == 3 and (order := Order.objects.order_by("?").first()):
        order.status = dice.choice(["cancelled", "scheduled"])
        order.save(update_fields=["status", "changed_at"])
    elif kind == 4:
        make.patient(dice.choice(NAMES), birth_date=dice.choice(DAYS))
    elif kind == 5:
        someone.identifiers.filter(primary=False).delete()
        someone.save(update_fields=["changed_at"])
    elif kind == 6:
        other = make.patient(dice.choice(NAMES), birth_date=dice.choice(DAYS))
        make.merge(someone, other)


@pytest.mark.parametrize("seed", range(6))
def test_after_any_changes_the_sweep_leaves_what_proposing_all_would(seed):
    dice = random.Random(seed)
    for _ in range(6):
        make.order(make.patient(dice.choice(NAMES), birth_date=dice.choice(DAYS)))
    for n, name in enumerate(dice.sample(NAMES, 4)):
        day = dice.choice(DAYS)
        born = f"{day:%Y%m%d}" if day else ""
        make.study("held", PatientName=name, PatientBirthDate=born, PatientID=NUMBERS[n % 3])
    looked_through()
    for _ in range(8):
        _random_change(dice)

    tasks.sweep()
    swept = {study.pk: proposed(study) for study in Study.objects.all()}
    for study in Study.objects.all():
        matching.propose(study)

    assert {pk: proposed(Study.objects.get(pk=pk)) for pk in swept} == swept
