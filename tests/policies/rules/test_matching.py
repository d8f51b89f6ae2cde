"""Candidates: the cases in which archives really mix up patients, and the promise that nothing is chosen."""

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.rules.birthdates import birth_date_variants
from policies.rules.matching import (
    CEILING,
    DEFAULT,
    Agreement,
    Candidate,
    Class,
    Exam,
    Person,
    Weights,
    compare,
    propose,
)


@dataclass
class Row:
    field: str
    level: str
    m: float
    u: float


ANNA = Person("MUELLER^ANNA", "19610304", "F", (("4711", "HOSP"),))
CHEST = Exam("CT", "CHEST", "CT chest with contrast", "20260901")


def match(incoming, local, *, exam=None, order=None, **more):
    return compare(incoming, exam, Candidate("c", local, order), **more)


def field(found, name):
    return next(each for each in found.evidence if each.field == name)


def person(name, birth_date="19610304", sex="F", *identifiers):
    return Person(name, birth_date, sex, identifiers)


def proposals(incoming, *people, exam=None):
    return propose(incoming, exam, [Candidate(f"c{number}", each, None) for number, each in enumerate(people)])


# --- one candidate ---------------------------------------------------------------------------------------------------


def test_identifier_birth_date_and_name_make_a_strong_match():
    found = match(ANNA, replace(ANNA, name="MÜLLER^ANNA"))

    assert (found.klass, round(found.score, 6)) == (Class.STRONG, 1.0)


def test_every_field_gives_evidence_even_when_all_is_missing():
    found = match(Person("", "", ""), Person("", "", ""))

    assert [each.field for each in found.evidence] == [
        *("identifier", "family_name", "given_name", "birth_date", "sex", "modality", "procedure", "study_date"),
    ]
    assert {each.agreement for each in found.evidence} == {Agreement.MISSING}
    assert {each.weight for each in found.evidence if each.field != "birth_date"} == {0.0}
    assert found.klass == Class.WEAK


def test_a_name_alone_is_never_more_than_possible():
    found = match(Person("MUELLER^ANNA", "", ""), ANNA, exam=CHEST, order=CHEST)

    assert found.klass == Class.POSSIBLE
    assert found.score < 0.5


def test_the_whole_name_and_birth_date_make_a_strong_match_without_an_identifier():
    found = match(person("MUELLER^ANNA"), ANNA)

    assert found.klass == Class.STRONG
    assert found.score > 0.99


def test_the_more_patients_there_are_the_less_name_and_birth_date_prove():
    slip = person("MUELER^A")

    few, many = (match(slip, ANNA, weights=DEFAULT.among(n)) for n in (5_000, 5_000_000))

    assert few.score > 0.99 > many.score
    assert (few.klass, many.klass) == (Class.STRONG, Class.POSSIBLE)


@pytest.mark.parametrize(
    ("identifiers", "agreement", "says"),
    [
        ([("4711", "HOSP")], Agreement.SAME, "same number of the same issuer"),
        ([("4711", "hosp ")], Agreement.SAME, "same number of the same issuer"),
        ([("04711", "HOSP")], Agreement.SIMILAR, "apart from leading zeros or case"),
        ([("4711", "")], Agreement.SIMILAR, "one side does not say who issued it"),
        ([("4712", "HOSP")], Agreement.DIFFERENT, "another number of the same issuer"),
        ([("4711", "OTHER")], Agreement.MISSING, "none of an issuer that both sides know"),
        ([("4712", "")], Agreement.MISSING, "none of an issuer that both sides know"),
        ([], Agreement.MISSING, "not known on both sides"),
        ([("", "HOSP")], Agreement.MISSING, "none of an issuer that both sides know"),
        ([("99", "HOSP"), ("4711", "HOSP")], Agreement.SAME, "same number of the same issuer"),
    ],
)
def test_an_identifier_counts_with_its_issuer_only(identifiers, agreement, says):
    evidence = field(match(person("X^Y", "", "", *identifiers), ANNA), "identifier")

    assert evidence.agreement == agreement
    assert says in evidence.rule


def test_the_same_number_of_another_issuer_says_nothing():
    found = match(person("MUELLER^ANNA", "19610304", "F", ("4711", "OTHER")), ANNA)

    assert field(found, "identifier").weight == 0
    assert found.issuers == frozenset()


def test_the_same_number_of_an_unknown_issuer_makes_nobody_strong():
    assert match(person("MUELLER^ANNA", "", "F", ("4711", "")), ANNA).klass == Class.POSSIBLE


@pytest.mark.parametrize(
    "other",
    [
        person("SCHMIDT^PETRA", "19830101", "F", ("4711", "HOSP")),
        person("SCHMIDT^PETRA", "", "F", ("4711", "HOSP")),
        person("SCHMIDT^PETRA", "19610305", "", ("4711", "HOSP")),
    ],
)
def test_the_identifier_of_another_person_is_a_conflict(other):
    found = match(ANNA, other)

    assert found.klass == Class.CONFLICT
    assert found.score <= CEILING


@pytest.mark.parametrize(
    ("birth_date", "agreement", "says"),
    [
        ("19610304", Agreement.SAME, "same"),
        ("1961.03.04", Agreement.SAME, "same"),
        ("19610403", Agreement.SIMILAR, "day and month are swapped"),
        ("19610305", Agreement.SIMILAR, "one digit differs"),
        ("19160304", Agreement.SIMILAR, "two neighbouring digits are swapped"),
        ("19610101", Agreement.SIMILAR, "1 January may stand for an unknown day"),
        ("1961", Agreement.SIMILAR, "same as far as it is known"),
        ("19610000", Agreement.SIMILAR, "same as far as it is known"),
        ("196103", Agreement.SIMILAR, "same as far as it is known"),
        ("1962", Agreement.DIFFERENT, "different"),
        ("19851224", Agreement.DIFFERENT, "different"),
        ("", Agreement.MISSING, "not known on both sides"),
        ("19000101", Agreement.MISSING, "not known on both sides"),
        ("unknown", Agreement.MISSING, "not known on both sides"),
    ],
)
def test_birth_dates_agree_by_a_named_rule(birth_date, agreement, says):
    evidence = field(match(person("MUELLER^ANNA", birth_date), ANNA), "birth_date")

    assert (evidence.agreement, evidence.incoming, evidence.local) == (agreement, birth_date, "19610304")
    assert evidence.rule.startswith("Birth date: ")
    assert says in evidence.rule


def test_a_slip_in_the_birth_date_is_possible_and_another_date_a_conflict():
    slip = match(person("MUELLER^ANNA", "19610403", "F", ("4711", "HOSP")), ANNA)
    other = match(person("MUELLER^ANNA", "19851224", "F", ("4711", "HOSP")), ANNA)

    assert slip.klass == Class.POSSIBLE
    assert (other.klass, other.score) == (Class.CONFLICT, CEILING)


@pytest.mark.parametrize(
    ("sex", "agreement"),
    [("F", "same"), ("f ", "same"), ("M", "different"), ("O", "missing"), ("", "missing"), ("W", "missing")],
)
def test_sex_counts_where_both_sides_say_male_or_female(sex, agreement):
    assert field(match(person("MUELLER^ANNA", sex=sex), ANNA), "sex").agreement == agreement


def test_another_sex_is_a_conflict_whatever_else_agrees():
    found = match(replace(ANNA, sex="M"), ANNA)

    assert (found.klass, found.score) == (Class.CONFLICT, CEILING)


@pytest.mark.parametrize(
    "name",
    ["MÜLLER^ANNA", "MULLER^ANNA", "ANNA^MUELLER", "MUELLER-SCHMIDT^ANNA", "MUELLER^A", "MUELLER^ANNA MARIA"],
)
def test_a_name_in_another_guise_stays_strong_with_identifier_and_birth_date(name):
    assert match(replace(ANNA, name=name), ANNA).klass == Class.STRONG


@pytest.mark.parametrize("name", ["SCHMIDT^ANNA", "MUELLER^PETRA", "MUELLER^BABY GIRL", "", "UNKNOWN^UNKNOWN"])
def test_a_name_that_does_not_clearly_agree_is_never_strong(name):
    assert match(replace(ANNA, name=name), ANNA).klass == Class.POSSIBLE


def test_the_swap_is_said_in_the_evidence():
    found = match(person("ANNA^MÜLLER"), ANNA)

    assert field(found, "family_name").rule == "Family name: family and given name are swapped"
    assert field(found, "family_name").agreement == Agreement.SIMILAR
    assert found.score > 0.9


def test_a_married_name_is_worth_a_look_and_no_more():
    found = match(person("SCHMIDT^ANNA"), ANNA)

    assert found.klass == Class.POSSIBLE
    assert field(found, "family_name").weight < 0


def test_characters_outweigh_a_shared_romanisation():
    wei = person("WANG^WEI=王^伟")

    assert match(wei, person("WANG^WEI=王^薇")).score < match(wei, person("WANG^WEI=王^伟")).score
    assert match(wei, person("WANG^WEI=王^薇", "19610304", "F", ("1", "H"))).klass != Class.STRONG


def test_an_identifier_that_differs_argues_against_but_forbids_nothing():
    without = match(person("MUELLER^ANNA"), ANNA)
    differing = match(person("MUELLER^ANNA", "19610304", "F", ("9", "HOSP")), ANNA)

    assert 0.5 < differing.score < without.score
    assert differing.klass == Class.POSSIBLE


# --- exams -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("order", "name", "agreement", "says"),
    [
        (Exam("CT", "", "", ""), "modality", "same", "same"),
        (Exam("PT\\CT", "", "", ""), "modality", "same", "same"),
        (Exam("PT", "", "", ""), "modality", "similar", "related techniques"),
        (Exam("MR", "", "", ""), "modality", "different", "different"),
        (Exam("SR", "", "", ""), "modality", "missing", "not known"),
        (Exam("", "", "CT Thorax mit KM", ""), "procedure", "same", "same words (chest)"),
        (Exam("", "KNEE", "MR knee left", ""), "procedure", "different", "different"),
        (Exam("", "", "CT chest abdomen pelvis", ""), "procedure", "same", "same words (chest)"),
        (Exam("", "", "Import of outside study", ""), "procedure", "missing", "not known"),
        (Exam("", "", "", "20260901"), "study_date", "same", "same"),
        (Exam("", "", "", "20260910"), "study_date", "similar", "9 days between study and order"),
        (Exam("", "", "", "20260802"), "study_date", "similar", "30 days"),
        (Exam("", "", "", "20261002"), "study_date", "different", "31 days"),
        (Exam("", "", "", "2026"), "study_date", "missing", "not known"),
    ],
)
def test_an_order_is_compared_with_the_study(order, name, agreement, says):
    exam = replace(CHEST, description="CT chest")
    evidence = field(match(ANNA, ANNA, exam=exam, order=order), name)

    assert evidence.agreement == agreement
    assert says in evidence.rule


def test_left_is_not_right():
    left, right = (Exam("MR", "KNEE", f"MR knee {side}", "") for side in ("left", "right"))

    assert field(match(ANNA, ANNA, exam=left, order=right), "procedure").rule.endswith("one says left, the other right")
    assert field(match(ANNA, ANNA, exam=left, order=left), "procedure").agreement == Agreement.SAME


def test_some_words_in_common_are_similar():
    one, other = Exam("", "", "chest abdomen pelvis", ""), Exam("", "", "chest spine neck", "")

    assert field(match(ANNA, ANNA, exam=one, order=other), "procedure").agreement == Agreement.SIMILAR


def test_a_sure_person_with_an_order_for_something_else_is_not_strong():
    knee = Exam("MR", "KNEE", "MR knee", "20240101")

    assert match(ANNA, ANNA, exam=CHEST, order=CHEST).klass == Class.STRONG
    assert match(ANNA, ANNA, exam=CHEST, order=knee).klass == Class.POSSIBLE
    assert match(ANNA, ANNA, exam=CHEST, order=knee).score < 0.5


# --- several candidates ----------------------------------------------------------------------------------------------


def test_twins_are_for_a_person_to_tell_apart():
    """Born the same day, and the sender shortened the name to what both share."""
    twins = person("SMITH^ANNA", "20100102"), person("SMITH^ANNE", "20100102")

    found = proposals(person("SMITH^ANN", "20100102"), *twins)

    assert [each.ambiguous for each in found] == [True, True]
    assert found[0].margin < 0.10


def test_a_twin_of_the_other_sex_is_a_conflict():
    found = proposals(person("SMITH^ANNA", "20100102", "F"), person("SMITH^TOM", "20100102", "M"))

    assert found[0].match.klass == Class.CONFLICT


def test_of_twins_the_one_with_this_very_name_stands_in_front():
    found = proposals(person("SMITH^ANNE", "20100102"), *(person(f"SMITH^{n}", "20100102") for n in ("ANNA", "ANNE")))

    assert [each.match.key for each in found] == ["c1", "c0"]
    assert {each.match.klass for each in found} == {Class.POSSIBLE}


def test_a_twin_with_quite_another_name_is_not_plausible():
    found = proposals(person("SMITH^ANNA", "20100102"), person("SMITH^JULIE", "20100102"))

    assert found[0].match.score < 0.5


def test_a_newborn_fits_every_child_born_there_that_day():
    born = person("SMITH^BABY BOY", "20261101", "M")

    found = proposals(born, person("SMITH^ADAM", "20261101", "M"), person("SMITH^NOAH", "20261101", "M"))

    assert [each.ambiguous for each in found] == [True, True]
    assert {each.match.klass for each in found} == {Class.POSSIBLE}


def test_a_father_is_not_his_son():
    father, son = person("SMITH^JOHN^^^SR", "19500712", "M"), person("SMITH^JOHN^^^JR", "19810305", "M")

    found = proposals(person("SMITH^JOHN", "19810305", "M"), father, son)

    assert [(each.match.key, each.match.klass) for each in found] == [("c1", Class.STRONG), ("c0", Class.CONFLICT)]
    assert not any(each.ambiguous for each in found)


def test_two_persons_with_one_name_and_birth_date_are_ambiguous():
    found = proposals(
        person("MUELLER^ANNA"), ANNA, person("MUELLER^ANNA", "19610304", "F", ("5", "HOSP")), person("X^Y", "19300101")
    )

    assert [each.ambiguous for each in found] == [True, True, False]


def test_equal_evidence_is_ambiguous_even_when_it_is_thin():
    found = proposals(Person("MUELLER^ANNA", "", "F"), ANNA, replace(ANNA, identifiers=(("5", "HOSP"),)))

    assert found[0].match.score < 0.5
    assert [each.ambiguous for each in found] == [True, True]


def test_a_single_plausible_candidate_is_not_ambiguous():
    (only,) = proposals(ANNA, ANNA)

    assert (only.rank, only.runner_up, only.ambiguous) == (1, "", False)
    assert only.margin == only.match.score


def orders(*exams):
    return [Candidate(f"order{number}", ANNA, exam, "anna") for number, exam in enumerate(exams)]


def test_the_exam_makes_the_difference_between_two_orders_of_one_person():
    """The identifier makes the person certain; that must not hide which order fits."""
    found = propose(ANNA, CHEST, orders(Exam("CT", "KNEE", "CT knee", "20260905"), replace(CHEST, date="20260905")))

    assert [each.match.key for each in found] == ["order1", "order0"]
    assert found[0].margin > 0.10
    assert not any(each.ambiguous for each in found)


def test_two_orders_for_the_same_exam_are_ambiguous():
    found = propose(ANNA, CHEST, orders(replace(CHEST, date="20260905"), replace(CHEST, date="20260907")))

    assert [each.ambiguous for each in found] == [True, True]


def test_a_patient_does_not_compete_with_an_order_of_the_same_patient():
    candidates = [Candidate("order", ANNA, CHEST, "anna"), Candidate("patient", ANNA, None, "anna")]

    assert not any(each.ambiguous for each in propose(ANNA, CHEST, candidates))


def test_rank_runner_up_and_margin_tell_one_story():
    found = proposals(ANNA, person("MUELLER^ANNA"), ANNA, person("MEYER^PETRA", "19400101"))
    scores = [each.match.score for each in found]

    assert [each.rank for each in found] == [1, 2, 3]
    assert found[0].runner_up == found[1].match.key
    assert [each.runner_up for each in found[1:]] == ["", ""]
    assert [each.margin for each in found] == [scores[0] - scores[1], scores[1] - scores[0], scores[2] - scores[0]]


def test_the_order_is_by_score_then_key_whatever_came_first():
    candidates = [Candidate(key, ANNA, None) for key in "dbca"]

    assert [each.match.key for each in propose(ANNA, None, candidates)] == list("abcd")
    assert propose(ANNA, None, candidates) == propose(ANNA, None, candidates[::-1])


def test_a_rival_below_the_fold_still_makes_the_first_ambiguous():
    candidates = [Candidate(f"c{number}", replace(ANNA, identifiers=()), None) for number in range(3)]
    others = [replace(each, person=replace(ANNA, identifiers=((each.key, "X"),))) for each in candidates]

    (first,) = propose(replace(ANNA, identifiers=()), None, others, keep=1)

    assert first.ambiguous


def test_no_candidates_give_no_proposals():
    assert propose(ANNA, CHEST, []) == []


# --- numbers ---------------------------------------------------------------------------------------------------------


def test_the_default_probabilities_are_probabilities():
    for name, levels in DEFAULT.levels.items():
        for side in (0, 1):
            assert all(0 < pair[side] < 1 for pair in levels.values()), name
            assert sum(pair[side] for pair in levels.values()) <= 1 + 1e-9, name


def test_same_always_weighs_for_and_different_against():
    for name, levels in DEFAULT.levels.items():
        weights = {level: DEFAULT.weigh(name, level) for level in levels}
        assert weights["same"] == max(weights.values())
        assert weights["different"] == min(weights[level] for level in weights if level != "sibling") < 0


texts = st.text(max_size=12)
people = st.builds(
    Person,
    st.text(st.sampled_from("ABÜ^= 山や"), max_size=12) | texts,
    st.text(st.sampled_from("0123456789"), min_size=0, max_size=8) | texts,
    st.sampled_from(["M", "F", "O", ""]) | texts,
    st.lists(st.tuples(texts, texts), max_size=3).map(tuple),
)
examinations = st.none() | st.builds(Exam, texts, texts, texts, texts)


@given(st.lists(people, min_size=1, max_size=6), people, examinations)
def test_the_scores_of_all_candidates_and_of_none_sum_to_one_at_most(known, incoming, exam):
    found = propose(
        incoming,
        exam,
        keep=99,
        candidates=[
            Candidate(f"c{n}", known[n // 2], CHEST if n % 2 else None, f"p{n // 2}") for n in range(2 * len(known))
        ],
    )

    assert sum(each.match.score for each in found) <= 1 + 1e-9


def test_agreement_in_a_rare_name_says_more():
    rare, frequent = ({"MULLER": share, "ANNA": share} for share in (1e-5, 0.02))

    scores = [match(Person("MUELLER^ANNA", "", ""), ANNA, shares=shares).score for shares in (rare, {}, frequent)]

    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == 3


def test_measured_numbers_stand_in_place_of_the_defaults():
    rows = [Row("sex", "same", 0.9, 0.1), Row("sex", "never heard of", 0.9, 0.1), Row("birth_date", "same", 0, 0.1)]

    weights = DEFAULT.overridden(rows)

    assert weights.levels["sex"] == {"same": (0.9, 0.1), "different": (0.02, 0.5)}
    assert weights.levels["birth_date"] == DEFAULT.levels["birth_date"]
    assert DEFAULT.overridden([]).levels == DEFAULT.levels


def test_a_site_can_set_its_own_numbers():
    doubtful = Weights(person=1e-9)

    assert (
        compare(ANNA, None, Candidate("c", ANNA, None), weights=doubtful).score
        < compare(ANNA, None, Candidate("c", ANNA, None)).score
    )


@pytest.mark.parametrize(
    ("birth_date", "variants"),
    [
        ("19610304", ["19610304", "19610403", "19610101"]),
        ("19610131", ["19610131", "19610101"]),
        ("19613101", ["19610131", "19610101"]),
        ("1961", ["1961"]),
        ("", []),
    ],
)
def test_few_birth_dates_are_looked_up(birth_date, variants):
    assert birth_date_variants(birth_date) == variants


@given(people, examinations, people, examinations)
def test_no_text_breaks_a_match_and_the_score_is_a_probability(one, exam, other, order):
    found = match(one, other, exam=exam, order=order)

    assert 0 <= found.score <= 1
    assert len(found.evidence) == 8
    assert found.klass != Class.CONFLICT or found.score <= CEILING


@given(people, people)
def test_two_persons_are_as_alike_one_way_as_the_other(one, other):
    there, back = match(one, other), match(other, one)

    assert (there.score, there.klass) == (back.score, back.klass)
    assert [each.agreement for each in there.evidence] == [each.agreement for each in back.evidence]
