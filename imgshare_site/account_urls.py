"""The pages of one's own account. Of django-allauth only those listed here exist: nobody signs up or is mailed."""

from allauth.account import views as account
from allauth.mfa.base import views as mfa
from allauth.mfa.recovery_codes import views as codes
from allauth.mfa.totp import views as totp
from allauth.mfa.webauthn import views as keys
from allauth.socialaccount import views as social
from allauth.socialaccount.providers.openid_connect import views as oidc
from allauth.usersessions import views as usersessions
from django.urls import path

from imgshare_site import again
from reconciliation.views import sessions

urlpatterns = [
    # The names that allauth asks for are those of our own two pages.
    path("login/", sessions.SignIn.as_view(), name="account_login"),
    path("logout/", sessions.SignOut.as_view(), name="account_logout"),
    path("password/", sessions.PasswordChange.as_view(), name="account_change_password"),
    path("again/", account.reauthenticate, name="account_reauthenticate"),
    path("again/elsewhere/", again.elsewhere, name="again_elsewhere"),
    path("again/confirmed/", again.confirmed, name="confirmed"),
    path("second-factor/", mfa.index, name="mfa_index"),
    path("second-factor/code/", mfa.authenticate, name="mfa_authenticate"),
    path("second-factor/again/", mfa.reauthenticate, name="mfa_reauthenticate"),
    path("second-factor/app/", totp.activate_totp, name="mfa_activate_totp"),
    path("second-factor/app/remove/", totp.deactivate_totp, name="mfa_deactivate_totp"),
    path("second-factor/codes/", codes.view_recovery_codes, name="mfa_view_recovery_codes"),
    path("second-factor/codes/new/", codes.generate_recovery_codes, name="mfa_generate_recovery_codes"),
    path("second-factor/codes/file/", codes.download_recovery_codes, name="mfa_download_recovery_codes"),
    path("second-factor/keys/", keys.list_webauthn, name="mfa_list_webauthn"),
    path("second-factor/keys/add/", keys.add_webauthn, name="mfa_add_webauthn"),
    path("second-factor/keys/again/", keys.reauthenticate_webauthn, name="mfa_reauthenticate_webauthn"),
    path("second-factor/keys/<int:pk>/remove/", keys.remove_webauthn, name="mfa_remove_webauthn"),
    path("second-factor/keys/<int:pk>/rename/", keys.edit_webauthn, name="mfa_edit_webauthn"),
    path("sessions/", usersessions.list_usersessions, name="usersessions_list"),
    # The hospital's own sign-in; not there while the settings name no server.
    path("oidc/cancelled/", social.login_cancelled, name="socialaccount_login_cancelled"),
    path("oidc/<str:provider_id>/", sessions.elsewhere, name="openid_connect_login"),
    path("oidc/<str:provider_id>/callback/", oidc.callback, name="openid_connect_callback"),
]
