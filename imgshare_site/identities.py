"""Who signs in by OpenID Connect is somebody here: the account of that name that has no password of its own."""

from allauth.account.adapter import get_adapter as accounts
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialLogin
from django.conf import settings
from django.contrib.auth.models import Group
from django.db import transaction
from django.http import HttpRequest

from policies import audit
from policies.models import User
from policies.problems import Denied

FACTOR = "second factor elsewhere"  # in the session: whether the server said so; None when it says nothing of it
MORE_THAN_KNOWN = frozenset(["mfa", "otp", "hwk", "swk", "sc", "fpt", "face", "iris", "retina", "vbm", "sms", "tel"])
STRANGER = "You have no account here that signs in this way. Ask the administrator."


class Identities(DefaultSocialAccountAdapter):
    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        return False

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """Finds whose account it is, once; takes over the groups that the server names, at every sign-in."""
        if sociallogin.state.get("process", "login") != "login":
            raise Denied("Accounts are linked by signing in, not here.")
        claims = claims_of(sociallogin)
        request.session[FACTOR] = request.factor_elsewhere = second_factor_in(claims)
        known = sociallogin.is_existing
        user = sociallogin.user if known else owner(claims)
        with transaction.atomic():
            if not known:
                sociallogin.connect(request, user)
            if settings.OIDC_GROUPS_CLAIM:
                take_groups(user, claims.get(settings.OIDC_GROUPS_CLAIM))

    def send_notification_mail(self, template: str, user: User, *args, **kwargs) -> None:
        audit.record(user, "link account", user)


def claims_of(sociallogin: SocialLogin) -> dict:
    """The claims of the ID token, and those of the user info endpoint over them."""
    data = sociallogin.account.extra_data
    return {**data.get("id_token", {}), **data.get("userinfo", {})}


def second_factor_in(claims: dict) -> bool | None:
    """Whether the server says that it asked for more than a password (`amr`, RFC 8176; `acr`); None when it is silent.

    Where the settings name classes, `acr` must be one of them. Else a method that is more than something known counts.
    """
    if settings.OIDC_ACR:
        return claims.get("acr") in settings.OIDC_ACR
    methods = claims.get("amr")
    return bool(set(map(str, methods)) & MORE_THAN_KNOWN) if isinstance(methods, list) else None


def said_of_factor(request: HttpRequest) -> bool | None:
    """What was said in this sign-in: in this very request, since a session that was another person's is emptied."""
    return getattr(request, "factor_elsewhere", request.session.get(FACTOR))


def asked_elsewhere(request: HttpRequest) -> bool:
    """Whether the hospital's sign-in has seen to the second factor of this session. Its silence is trusted or not."""
    said = request.session.get(FACTOR)
    return settings.OIDC_TRUSTED if said is None else said


def owner(claims: dict) -> User:
    """The account of that name; made when the settings say so. Nobody takes over one that has a password, or that is
    linked already: servers give the name of who has left to somebody else."""
    name = str(claims.get(settings.OIDC_USER_CLAIM) or "")
    user = User.objects.filter(username=name).first() if name else None
    if user is None and name and settings.OIDC_CREATE:
        user = _made(name, claims)
    if user is None or user.has_usable_password() or user.socialaccount_set.exists():
        accounts().authentication_failed(None, username=name)
        raise Denied(STRANGER)
    return user


@transaction.atomic
def _made(name: str, claims: dict) -> User:
    user = User(username=name, first_name=claims.get("given_name", ""), last_name=claims.get("family_name", ""))
    user.set_unusable_password()
    user.full_clean(exclude=["password"])
    user.save()
    audit.record(audit.PORTAL, "add", user, reason="known to the hospital's sign-in")
    return user


def take_groups(user: User, named: object) -> None:
    """Make the user a member of exactly the groups named that exist here; the ledger has it when that changed."""
    names = [str(name) for name in named] if isinstance(named, list) else []
    groups, before = list(Group.objects.filter(name__in=names).order_by("name")), list(user.groups.order_by("name"))
    if groups != before:
        user.groups.set(groups)
        detail = {"old": [group.name for group in before], "new": [group.name for group in groups]}
        audit.record(audit.PORTAL, "change groups", user, detail=detail, reason="as the hospital's sign-in says")
