"""What signing in means here: who did it is in the ledger, and what django-allauth would also offer is off."""

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.base.forms import AuthenticateForm
from allauth.mfa.models import Authenticator
from allauth.mfa.webauthn.forms import AuthenticateWebAuthnForm
from allauth.usersessions.adapter import DefaultUserSessionsAdapter
from allauth.usersessions.models import UserSession
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse

from imgshare_site import identities
from imgshare_site.middleware import address_of
from policies import audit
from policies.models import User
from policies.problems import Denied

SIGN_IN, SIGN_OUT, FAILED, ENDED = "sign in", "sign out", "failed sign-in", "session ended"
SOMEBODY = "somebody"  # the actor of what nobody signed in for
UNKNOWN = "an unknown name"  # what was typed may be a password: it is kept nowhere
# What allauth would mail about, in the words of the ledger.
NOTICES = {
    "account/email/password_changed": "change password",
    "mfa/email/totp_activated": "set up second factor",
    "mfa/email/totp_deactivated": "remove second factor",
    "mfa/email/webauthn_added": "set up second factor",
    "mfa/email/webauthn_removed": "remove second factor",
    "mfa/email/recovery_codes_generated": "make recovery codes",
}


class Accounts(DefaultAccountAdapter):
    """Passwords, and what becomes of a session."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def get_client_ip(self, request: HttpRequest) -> str:
        return address_of(request)

    def login(self, request: HttpRequest, user: User) -> None:
        said = identities.said_of_factor(request)
        with transaction.atomic():
            super().login(request, user)
            request.session[identities.FACTOR] = said
            audit.record(user, SIGN_IN, user, detail={"by": ways(request)})

    def logout(self, request: HttpRequest) -> None:
        user = request.user
        with transaction.atomic():
            UserSession.objects.filter(session_key=request.session.session_key).delete()
            super().logout(request)
            audit.record(user, SIGN_OUT, user)

    def authentication_failed(self, request: HttpRequest, **credentials) -> None:
        failed(User.objects.filter(username=credentials.get("username", "")).first())

    def respond_user_inactive(self, request: HttpRequest, user: User) -> HttpResponse:
        raise Denied("This account is closed. Ask the administrator.")

    def add_message(self, *args, **kwargs) -> None:
        """The pages say by themselves how things stand."""

    def send_notification_mail(self, template: str, user: User, *args, **kwargs) -> None:
        """No mail leaves the portal; the ledger has it instead."""
        audit.record(user, NOTICES.get(template, template), user)


def ways(request: HttpRequest) -> list[str]:
    """How somebody has proved who they are: "password", "mfa", "socialaccount"."""
    return [record["method"] for record in request.session.get("account_authentication_methods", [])]


def failed(user: User | None) -> None:
    """Note that somebody could not sign in as `user`; None for a name that nobody has."""
    audit.record(SOMEBODY, FAILED, user or "user", key="" if user else UNKNOWN)


class SecondFactorForm(AuthenticateForm):
    def clean_code(self) -> str:
        try:
            return super().clean_code()
        except ValidationError:
            failed(self.user)
            raise


class SecurityKeyForm(AuthenticateWebAuthnForm):
    def clean_credential(self) -> Authenticator:
        try:
            return super().clean_credential()
        except ValidationError:
            failed(self.user)
            raise


class Sessions(DefaultUserSessionsAdapter):
    def end_sessions(self, sessions: list[UserSession]) -> None:
        for session in sessions:
            end(session, by=session.user)


def end(session: UserSession, *, by: User) -> None:
    """End somebody's session, wherever it is open."""
    with transaction.atomic():
        audit.record(by, ENDED, session.user, detail={"from": session.ip, "since": f"{session.created_at:%F %T}"})
        session.end()
