"""The addresses of the site. What is not under `api/` is for people."""

from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from imgshare_site import sittings
from reconciliation.views import (
    consent,
    desk,
    emergencies,
    expiry,
    fhir,
    news,
    pictures,
    quality,
    queue,
    records,
    sessions,
    study,
    told,
)

# One door: the administration has no sign-in of its own.
admin.site.login = secure_admin_login(admin.site.login)

STUDY = "studies/<uuid:key>/"

urlpatterns = [
    path("", queue.show, name="queue"),
    path("news/", queue.news, name="news"),
    path("search/", queue.search, name="search"),
    path("next/", queue.next_study, name="next"),
    path(STUDY, study.show, name="study"),
    path(f"{STUDY}lease/", study.lease_, name="lease"),
    path(f"{STUDY}news/", news.show, name="study_news"),
    path(f"{STUDY}candidates/", study.candidates, name="candidates"),
    path(f"{STUDY}lookup/", study.lookup, name="lookup"),
    path(f"{STUDY}answers/", study.answers, name="answers"),
    path(f"{STUDY}changes/", study.changes, name="changes"),
    path(f"{STUDY}deliveries/", study.deliveries, name="deliveries"),
    path(f"{STUDY}settle/", desk.settle, name="settle"),
    path(f"{STUDY}category/", desk.categorise, name="categorise"),
    path(f"{STUDY}generate/", desk.generate, name="generate"),
    path(f"{STUDY}orders/<uuid:order>/", told.show, name="told"),
    path(f"{STUDY}orders/<uuid:order>/again/", told.again, name="tell-again"),
    path(f"{STUDY}orders/<uuid:order>/cancel/", told.cancel, name="cancel-order"),
    path(f"{STUDY}prefix/", desk.prefix, name="prefix"),
    path(f"{STUDY}map/", desk.map_, name="map"),
    path(f"{STUDY}map-again/", desk.map_again, name="map_again"),
    path(f"{STUDY}unmap/", desk.unmap, name="unmap"),
    path(f"{STUDY}clear/", desk.clear, name="clear"),
    path(f"{STUDY}consent/withdraw/", consent.withdraw, name="withdraw_consent"),
    path(f"{STUDY}evidence/<uuid:evidence_key>/", consent.scan, name="consent_scan"),
    path(f"{STUDY}release/", desk.release_, name="release"),
    path(f"{STUDY}approve/", desk.approve, name="approve"),
    path(f"{STUDY}decline/", desk.decline, name="decline"),
    path(f"{STUDY}withdraw/", desk.withdraw, name="withdraw"),
    path(f"{STUDY}reject/", desk.reject, name="reject"),
    path(f"{STUDY}letters/", quality.letters, name="letters"),
    path(f"{STUDY}reinstate/", desk.reinstate, name="reinstate"),
    path(f"{STUDY}hold/", expiry.hold, name="hold"),
    path(f"{STUDY}keep/", expiry.keep, name="keep"),
    path(f"{STUDY}retry/", desk.retry, name="retry"),
    path("pictures/<uuid:key>/", pictures.picture, name="picture"),
    path("submissions/", records.submissions, name="submissions"),
    path("unreadable/", records.unreadable, name="unreadable"),
    path("expiry/", expiry.show, name="expiry"),
    path("expiry/approve/", expiry.approve, name="approve-deletions"),
    path("expiry/<uuid:key>/take-back/", expiry.take_back, name="take-back-deletion"),
    path("rejection-notes/<uuid:key>/tell/", expiry.tell, name="tell-archive"),
    path("rejection-notes/<uuid:key>/told/", expiry.told, name="archive-told"),
    path("holds/<uuid:key>/lift/", expiry.lift, name="lift-hold"),
    path("quality/", quality.numbers, name="quality"),
    path("ledger/", records.ledger, name="ledger"),
    path("ledger/search/", records.search, name="ledger_search"),
    path("ledger/verify/", records.verify, name="ledger_verify"),
    path("ledger/export/<slug:kind>/", records.export, name="ledger_export"),
    path("fhir/Consent", fhir.Consents.as_view(), name="fhir_consents"),
    path("fhir/Consent/_search", fhir.Consents.as_view(), name="fhir_consents_search"),
    path("fhir/Consent/<uuid:key>", fhir.Consent.as_view(), name="fhir_consent"),
    path("emergency/", emergencies.enter, name="emergency"),
    path("emergencies/", emergencies.show, name="emergencies"),
    path("emergencies/<uuid:key>/review/", emergencies.review, name="review_emergency"),
    path("login/", sessions.SignIn.as_view(), name="login"),
    path("logout/", sessions.SignOut.as_view(), name="logout"),
    path("session/", sittings.show, name="session"),
    path("account/", include("imgshare_site.account_urls")),
    path("admin/logout/", sessions.SignOut.as_view()),
    path("admin/password_change/", RedirectView.as_view(pattern_name="account_change_password")),
    path("admin/", admin.site.urls),
    path("api/", include("reconciliation.api_urls")),
]
