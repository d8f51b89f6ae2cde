"""What a person may see, by the database and by the one question "why not?": the same answer for every study."""

import itertools
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from policies import authority
from policies.models import Grant, Power, User
from reconciliation import permission, queue
from reconciliation.models import EmergencyAccess, Study, Unreadable
from tests import make

MODALITIES = ([], ["CT"], ["MR"], ["CT", "SR"], ["CT", "MR", "SR"], ['C"T'])
INTENTS = ("", "reference", "read")
CATEGORIES = ("incorporated", "teleradiology")
SOURCES = ("Here", "There")
# Other powers and other days too: what is not viewing, or not today, must let through nothing.
GRANT = st.fixed_dictionaries(
    {
        "power": st.sampled_from(
            [Power.VIEW, Power.VIEW, Power.DELETE, Power.DELETE, Power.RELEASE, Power.AUDIT, Power.GRANT]
        ),
        "source": st.sampled_from([None, *SOURCES]),
        "modality": st.sampled_from(["", "CT", "MR", "SR", 'C"T']),
        "intent": st.sampled_from(INTENTS),
        "category": st.sampled_from(["", *CATEGORIES]),
        "days": st.sampled_from([(None, None), (None, None), (0, 0), (-9, -1), (1, 9)]),
    }
)


@pytest.fixture
def studies(db, data_dir):
    one, sources = make.received(), {name: make.source(name) for name in SOURCES}
    kinds = itertools.product(MODALITIES, INTENTS, CATEGORIES, SOURCES)
    columns = [field.attname for field in Study._meta.concrete_fields if field.attname not in ("id", "part")]
    same = {name: getattr(one, name) for name in columns}
    rows = [
        Study(**same | {"modalities": m, "intent": i, "category": c, "source_id": sources[s].pk}, part=n)
        for n, (m, i, c, s) in enumerate(kinds, start=1)
    ]
    Study.objects.bulk_create(rows)
    return list(Study.objects.select_related("source")), sources


def _grant(columns: dict, sources: dict) -> Grant:
    today = timezone.localdate()
    first, last = (day if day is None else today + timedelta(days=day) for day in columns["days"])
    plain = {name: columns[name] for name in ("power", "modality", "intent", "category")}
    return Grant(**plain, source=sources.get(columns["source"]), valid_from=first, valid_until=last)


@pytest.mark.django_db
@pytest.mark.parametrize("power", [Power.VIEW, Power.DELETE])
def test_the_database_and_the_question_let_the_same_studies_through(power, studies):
    rows, sources = studies

    @settings(max_examples=150, deadline=None)
    @given(st.lists(GRANT, max_size=4))
    def agree(drawn):
        user = User(username="lee")
        user._grants = [_grant(columns, sources) for columns in drawn]
        seen = set(permission.within(user, power).values_list("pk", flat=True))
        assert seen == {study.pk for study in rows if not permission.why_not(user, power, study)}

    agree()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("grants", "modalities", "sentence"),
    [
        ([{"modality": "CT"}], ["CT"], ""),
        ([{"modality": "CT"}], ["CT", "SR"], "Your role may release only CT studies."),
        ([{"modality": "CT"}, {"modality": "SR"}], ["CT", "SR"], ""),
        ([{"modality": "CT"}, {"modality": "SR"}], ["MR"], "Your role may release only CT and SR studies."),
        ([{"modality": "CT"}, {"modality": "SR", "category": "teleradiology"}], ["CT", "SR"], "only CT studies"),
        ([{"modality": "CT"}, {}], ["MR"], ""),
        ([{"modality": "CT"}], [], "Your role may release only CT studies."),
        ([{"category": "teleradiology"}], ["CT"], "only studies of the category 'Teleradiology"),
        ([{"intent": "reference"}], ["CT"], "Nobody has decided yet what this one is for."),
        ([{"days": (-9, -1)}], ["CT"], "Your authority to release studies ended on"),
        ([{"days": (1, 9)}], ["CT"], "Your authority to release studies begins on"),
        ([{"days": (-9, -1), "modality": "MR"}], ["CT"], "Your role may not release studies."),
        ([{"days": (0, 0)}], ["CT"], ""),
    ],
)
def test_a_refusal_says_what_limits(grants, modalities, sentence, data_dir):
    study, user = make.received(), User(username="lee")
    study.modalities = modalities
    plain = {"power": Power.RELEASE, "source": None, "modality": "", "intent": "", "category": "", "days": (None, None)}
    user._grants = [_grant(plain | columns, {}) for columns in grants]

    said = permission.why_not(user, Power.RELEASE, study)
    assert sentence in said
    assert bool(said) == bool(sentence)


@pytest.mark.django_db
def test_looking_and_deciding_does_not_wait_for_the_intent_but_letting_out_does(data_dir):
    study, user = make.received(), User(username="lee")
    user._grants = [Grant(power=power, intent="reference") for power in Power if power != Power.AUDIT]

    barred = {power for power in Power if authority.why_not(user, power, **permission.about(study))}
    assert barred == authority.DECIDED | {Power.AUDIT}
    assert permission.why_not(user, Power.RECONCILE, study, intent="read")


@pytest.mark.django_db
def test_what_is_open_in_an_emergency_is_seen_until_it_runs_out_or_the_power_is_taken_away(data_dir):
    here, lee = make.source("Here"), make.user("lee", grants=[(Power.VIEW, make.source("There"), None)])
    study, now = make.received(of=here), timezone.now()
    make.user("lee", grants=[(Power.EMERGENCY, None, None)])
    access = EmergencyAccess.objects.create(
        study=study, by=lee, reason="Stroke", opened_at=now, until=now + timedelta(hours=1)
    )

    def seen():
        asker = User.objects.get(pk=lee.pk)
        by_question = not permission.why_not(asker, Power.VIEW, study)
        assert queue.visible_to(asker).filter(pk=study.pk).exists() == by_question
        assert permission.why_not(asker, Power.RELEASE, study)
        return by_question

    assert seen()
    Grant.objects.filter(power=Power.EMERGENCY).delete()
    assert not seen()
    make.user("lee", grants=[(Power.EMERGENCY, None, None)])
    EmergencyAccess.objects.filter(pk=access.pk).update(until=now)
    assert not seen()


@pytest.mark.django_db
def test_lists_of_arrivals_show_what_one_may_see(data_dir):
    here = make.source("Here")
    ct = make.received(make.dataset(), of=here)
    make.received(make.dataset(Modality="MR"), of=here)
    make.spooled_bytes(b"not DICOM")
    lee = make.user("lee", grants=[(Power.VIEW, here, None)])
    Grant.objects.filter(group__user=lee).update(modality="CT")
    lee = User.objects.get(pk=lee.pk)

    assert [one.pk for one in queue.submissions(lee)] == [ct.submission_id]
    assert list(queue.sources(lee)) == [here]
    assert not queue.unreadable(lee).exists()


@pytest.mark.django_db
@pytest.mark.usefixtures("data_dir")
def test_a_submission_names_only_the_studies_that_one_may_see():
    here = make.source("Here")
    ct = make.received(make.dataset(), make.dataset(Modality="MR"), of=here)
    ct, mr = sorted(Study.objects.filter(submission=ct.submission), key=lambda one: one.modalities)
    Unreadable.objects.create(submission=ct.submission, number=9, reason="Cut off.", digest="0", size=1)
    lee = make.user("lee", grants=[(Power.VIEW, here, None)])
    Grant.objects.filter(group__user=lee).update(modality="CT")
    client = Client()
    client.force_login(lee)

    page = client.get("/submissions/").content.decode()
    (told,) = client.get("/api/submissions/").json()["results"]
    assert str(ct.pk) in page
    assert str(mr.pk) not in page
    assert told["studies"] == [str(ct.pk)]
    assert told["unreadable"] == []
