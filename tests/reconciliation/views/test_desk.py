"""The steps taken at the desk by plain forms, and their refusals."""

import pytest
from django.urls import reverse

from reconciliation.models import Delivery, Study
from tests import make
from tests.reconciliation.views.browsing import VERBS, post, text

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]

CONSENT = {"basis": "patient", "given_by": "Anna Mueller", "evidence": "Form 12", "scope": ["care"]}


def test_a_study_walks_through_the_gate_by_plain_forms(desk, releaser):
    study, order, rule = make.study("held"), make.order(), make.rule()
    make.reason()
    to = make.destination()
    steps = [
        (desk, "map", {"choice": f"order:{order.pk}", "intent": "reference"}),
        (desk, "clear", CONSENT),
        (releaser, "release", {"to": [to.pk]}),
    ]

    for client, verb, said in steps:
        response = post(client, verb, study, **said)
        assert response.status_code == 302
        study.refresh_from_db()

    assert (study.state, study.order, study.retention) == ("released", order, rule)
    assert "Released to PACS. 1 delivery waiting." in text(releaser.get(response.url))


def test_a_choice_of_a_patient_alone_maps_without_an_order(desk):
    study, patient = make.study("held"), make.patient()

    post(desk, "map", study, choice=f"patient:{patient.pk}", intent="read")

    study.refresh_from_db()
    assert (study.state, study.local_patient, study.order) == ("mapped", patient, None)


def test_the_usual_purpose_of_a_source_is_chosen_and_marked_and_nothing_is_decided(desk):
    study = make.study("held", of=make.source(intent="reference", requester="Weber, Karl"))
    page = text(desk.get(reverse("study", args=[study.pk])))

    assert 'value="reference" required checked' in page
    assert "(usual for this source)" in page
    assert Study.objects.get(pk=study.pk).intent == ""
    response = post(desk, "map", study, choice=f"order:{make.order().pk}")
    assert "Say whether the study is for reference or to be read here." in text(response)


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"intent": "read"}, "Choose an order or a patient first."),
        ({"choice": "order:nonsense", "intent": "read"}, "not known here any more"),
        ({"choice": "patient:7a0c4d5e-0000-4000-8000-000000000000", "intent": "read"}, "not known here any more"),
        ({"choice": "order"}, "Say whether the study is for reference or to be read here."),
    ],
)
def test_a_mapping_that_is_not_complete_is_refused_in_words(desk, said, sentence):
    study, order = make.study("held"), make.order()
    if said.get("choice") == "order":
        said = {**said, "choice": f"order:{order.pk}"}

    response = post(desk, "map", study, **said)

    assert response.status_code == 422
    assert sentence in text(response)


def test_a_form_of_an_old_version_is_refused(desk):
    study, order = make.study("held"), make.order()
    Study.objects.filter(pk=study.pk).update(version=study.version + 1)

    response = post(desk, "map", study, choice=f"order:{order.pk}", intent="read")

    assert response.status_code == 409
    assert "changed this study since you opened it" in text(response)


def test_a_form_without_a_version_is_refused(desk):
    study = make.study("held")

    response = desk.post(reverse("map", args=[study.pk]), {})

    assert response.status_code == 422


def test_a_refusal_to_htmx_is_a_notice_and_leaves_the_form_alone(desk):
    study = make.study("held")

    response = desk.post(reverse("map", args=[study.pk]), {"version": 1}, headers={"HX-Request": "true"})

    assert response.status_code == 422
    assert response["HX-Retarget"] == "#refusal"
    assert "<form" not in text(response)


def test_a_clearance_without_evidence_is_refused(desk):
    study = make.study("mapped")
    make.rule()

    response = post(desk, "clear", study, **{**CONSENT, "evidence": ""})

    assert response.status_code == 422
    assert "evidence" in text(response)


def test_findings_are_overridden_with_a_reason_by_the_form(releaser):
    study = make.study("mapped", PatientIdentityRemoved="YES", DeidentificationMethod="none")
    make.rule()
    finding = study.findings.get(code="deidentified")

    page = text(releaser.get(reverse("study", args=[study.pk])))
    response = post(releaser, "clear", study, **CONSENT, **{"override-deidentified": "Known by telephone"})

    assert 'name="override-deidentified"' in page
    assert response.status_code == 302
    finding.refresh_from_db()
    assert finding.override_reason == "Known by telephone"


def test_a_rejection_needs_a_reason_and_can_be_taken_back(releaser):
    study, reason = make.study("held"), make.reason()

    assert post(releaser, "reject", study).status_code == 422
    post(releaser, "reject", study, reason=reason.pk, comment="Told the sender")
    study.refresh_from_db()
    page = text(releaser.get(reverse("study", args=[study.pk])))
    post(releaser, "reinstate", study, comment="It is her after all")
    study.refresh_from_db()

    assert "Told the sender" in page
    assert study.state == "held"


def test_a_mapping_is_undone_by_its_form(desk):
    study = make.study("mapped")

    post(desk, "unmap", study, reason="Wrong order")

    study.refresh_from_db()
    assert (study.state, study.mapping) == ("held", None)


def test_a_study_still_coming_is_held_by_hand(desk):
    study = make.received()

    post(desk, "settle", study)

    study.refresh_from_db()
    assert study.state == "held"


def test_a_refused_delivery_is_sent_again_from_the_page(releaser):
    study = make.study("released")
    Delivery.objects.update(state="refused", attempts=1, problem="No room.")
    delivery = Delivery.objects.get()

    page = text(releaser.get(reverse("study", args=[study.pk])))
    response = releaser.post(reverse("retry", args=[study.pk]), {"delivery": delivery.pk})

    assert "No room." in page
    assert response.status_code == 302
    assert Delivery.objects.get().state == "queued"


def test_a_generated_order_is_chosen_and_not_yet_mapped(desk):
    study, patient = make.study("held"), make.patient()
    make.sequence()
    procedure = make.procedure()

    response = post(desk, "generate", study, patient=patient.pk, procedure=procedure.pk)
    page = text(desk.get(response.url))

    order = patient.orders.get()
    study.refresh_from_db()
    assert study.state == "held"
    assert f'value="order:{order.pk}"' in page
    assert "What changes in the objects" in page


@pytest.mark.parametrize("verb", VERBS)
def test_no_step_is_taken_by_a_link(releaser, verb):
    study = make.study("held")

    assert releaser.get(reverse(verb, args=[study.pk])).status_code == 405


def test_what_was_mapped_names_patient_and_order(desk):
    study, order = make.study("held"), make.order(accession_number="A26-4100")

    page = text(desk.get(post(desk, "map", study, choice=f"order:{order.pk}", intent="read").url))

    assert "Mapped to MUELLER, Anna (1961-03-04): CT chest A26-4100." in page
    assert '<span class="unseen">mapped to</span> MUELLER, Anna' in page


@pytest.mark.parametrize(("who", "said"), [("desk", "waits for a releasing officer"), ("releaser", "can be released")])
def test_what_was_cleared_says_whose_turn_it_is(request, who, said):
    client, study = request.getfixturevalue(who), make.study("mapped")
    make.rule()

    assert said in text(client.get(post(client, "clear", study, **CONSENT).url))


def test_a_conflict_offers_the_page_as_it_is_now(desk):
    study = make.study("held")
    headers = {"HX-Request": "true"}
    form = {"version": 7, "choice": f"order:{make.order().pk}", "intent": "read"}

    response = desk.post(reverse("map", args=[study.pk]), form, headers=headers)

    assert response.status_code == 409
    assert f'<a href="{reverse("study", args=[study.pk])}">Load the page again</a>' in text(response)


def test_an_objection_stands_until_it_is_overridden_or_the_mapping_undone(desk, releaser):
    study = make.study("held", PatientSex="M")
    make.rule()
    post(desk, "map", study, choice=f"order:{make.order().pk}", intent="read")
    study.refresh_from_db()
    address = reverse("study", args=[study.pk])

    mine, theirs = text(desk.get(address)), text(releaser.get(address))
    post(desk, "unmap", study)

    assert "A releasing officer must override this." in mine
    assert 'name="override-mapping_conflict"' in theirs
    assert "A releasing officer must override this." not in theirs
    assert not study.findings.filter(code__startswith="mapping_").exists()
