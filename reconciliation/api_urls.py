"""The addresses of the REST calls. A verb of the workflow has its own name here: links are made from it."""

from csp.decorators import csp_update
from django.urls import path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from reconciliation.views import (
    api,
    api_consent,
    api_emergencies,
    api_expiry,
    api_ledger,
    api_lists,
    api_orders,
    api_partners,
    api_quality,
    api_studies,
)

app_name = "api"

# Swagger UI writes styles into its own page, which carries no data of ours. Its scripts come from our own origin.
docs = csp_update({"style-src": ["'self'", "'unsafe-inline'"]})(
    SpectacularSwaggerSplitView.as_view(url_name="api:schema")
)

urlpatterns = [
    path("schema/", SpectacularAPIView.as_view(), name="schema"),
    path("docs/", docs, name="docs"),
    path("me/", api_lists.me, name="me"),
    path("studies/", api_studies.studies, name="studies"),
    path("studies/<uuid:key>/", api_studies.study, name="study"),
    path("studies/<uuid:key>/lease/", api_studies.Lease.as_view(), name="lease"),
    path("studies/<uuid:key>/proposals/", api_studies.proposals, name="proposals"),
    path("studies/<uuid:key>/lookup/", api_studies.LookUp.as_view(), name="lookup"),
    path("studies/<uuid:key>/preview/", api_studies.preview, name="preview"),
    path("studies/<uuid:key>/changes/", api_studies.changes, name="changes"),
    path("studies/<uuid:key>/history/", api_studies.history, name="history"),
    path("studies/<uuid:key>/deliveries/", api_studies.deliveries, name="deliveries"),
    path("studies/<uuid:key>/settle/", api_studies.settle, name="settle"),
    path("studies/<uuid:key>/category/", api_studies.categorise, name="categorise"),
    path("studies/<uuid:key>/prefix/", api_quality.prefix, name="prefix"),
    path("studies/<uuid:key>/map/", api_studies.map_study, name="map"),
    path("studies/<uuid:key>/map-again/", api_studies.map_again, name="map-again"),
    path("studies/<uuid:key>/unmap/", api_studies.unmap, name="unmap"),
    path("studies/<uuid:key>/clear/", api_studies.clear, name="clear"),
    path("studies/<uuid:key>/consent/", api_consent.consent, name="consent"),
    path("studies/<uuid:key>/consent/withdraw/", api_consent.withdraw_consent, name="withdraw-consent"),
    path("studies/<uuid:key>/consent/renew/", api_consent.renew_consent, name="renew-consent"),
    path("studies/<uuid:key>/evidence/", api_consent.Forms.as_view(), name="evidence"),
    path("studies/<uuid:key>/evidence/<uuid:evidence_key>/", api_consent.consent_form, name="consent-form"),
    path("studies/<uuid:key>/release/", api_studies.release_study, name="release"),
    path("studies/<uuid:key>/approve/", api_studies.approve, name="approve"),
    path("studies/<uuid:key>/decline/", api_studies.decline, name="decline"),
    path("studies/<uuid:key>/withdraw/", api_studies.withdraw, name="withdraw"),
    path("studies/<uuid:key>/reject/", api_studies.reject, name="reject"),
    path("studies/<uuid:key>/letters/", api_quality.letters, name="letters"),
    path("studies/<uuid:key>/reinstate/", api_studies.reinstate, name="reinstate"),
    path("studies/<uuid:key>/hold/", api_expiry.hold, name="hold"),
    path("studies/<uuid:key>/keep/", api_expiry.keep, name="keep"),
    path("expiry/", api_expiry.due, name="expiry"),
    path("expiry/approve/", api_expiry.approve_deletions, name="approve-deletions"),
    path("expiry/approved/", api_expiry.approved, name="approved-deletions"),
    path("expiry/<uuid:key>/take-back/", api_expiry.take_back, name="take-back-deletion"),
    path("rejection-notes/", api_expiry.notes, name="rejection-notes"),
    path("rejection-notes/<uuid:key>/tell/", api_expiry.tell_archive, name="tell-archive"),
    path("rejection-notes/<uuid:key>/told/", api_expiry.archive_told, name="archive-told"),
    path("holds/", api_expiry.holds, name="holds"),
    path("holds/<uuid:key>/lift/", api_expiry.lift, name="lift-hold"),
    path("deliveries/<uuid:key>/retry/", api_studies.retry, name="retry"),
    path("orders/", api_orders.Orders.as_view(), name="orders"),
    path("orders/<uuid:key>/", api_orders.order, name="order"),
    path("orders/<uuid:key>/cancel/", api_orders.cancel_order, name="cancel-order"),
    path("notices/<uuid:key>/retry/", api_orders.tell_again, name="tell-again"),
    path("patients/", api_orders.Patients.as_view(), name="patients"),
    path("patients/<uuid:key>/", api_orders.patient, name="patient"),
    path("quality/", api_quality.quality, name="quality"),
    path("submissions/", api_lists.submissions, name="submissions"),
    path("submissions/<uuid:key>/", api_lists.submission, name="submission"),
    path("emergencies/", api_emergencies.Emergencies.as_view(), name="emergencies"),
    path("emergencies/<uuid:key>/review/", api_emergencies.review_emergency, name="review-emergency"),
    path("sources/", api_lists.sources, name="sources"),
    path("destinations/", api_lists.destinations, name="destinations"),
    path("destinations/<uuid:key>/test/", api_partners.test_destination, name="test-destination"),
    path("procedures/", api_lists.procedures, name="procedures"),
    path("retention-rules/", api_lists.retention_rules, name="retention-rules"),
    path("reasons/", api_lists.reasons, name="reasons"),
    path("ledger/", api_ledger.ledger, name="ledger"),
    path("ledger/verify/", api_ledger.verify, name="ledger-verify"),
    path("ledger/export/<slug:kind>/", api_ledger.export, name="ledger-export"),
    re_path("", api.nothing_here),
]
