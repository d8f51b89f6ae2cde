"""Every verb of the ledger: how it reads to people, and which audit event it is (PS3.15 A.5).

Whoever records a new verb writes it down here; a test finds those that are missing.
"""

from typing import NamedTuple

from django.utils.translation import gettext_lazy as _

from policies.rules import atna
from policies.rules.atna import Code


class Deed(NamedTuple):
    words: str
    event: Code
    action: str  # C, R, U, D or E
    type: Code | None = None


def _study(words, action: str = "U") -> Deed:
    return Deed(words, atna.ACCESSED, action)


def _order(words, action: str) -> Deed:
    return Deed(words, atna.ORDER, action)


def _patient(words, action: str) -> Deed:
    return Deed(words, atna.PATIENT, action)


def _sent(words, action: str = "C") -> Deed:
    return Deed(words, atna.TRANSFERRED, action)


def _alert(words, kind: Code) -> Deed:
    return Deed(words, atna.ALERT, "E", kind)


_RULES, _USERS = atna.SECURITY_CONFIGURATION, atna.USER_SECURITY
DEEDS = {
    # the belt
    "receive": _sent(_("received")),
    "receive more": _sent(_("more objects received")),
    "end of submission": Deed(_("submission complete"), atna.IMPORT, "C"),
    "settle": _study(_("held")),
    "map": Deed(_("mapped"), atna.PROCEDURE, "U"),
    "unmap": Deed(_("mapping undone"), atna.PROCEDURE, "U"),
    "change UIDs": _study(_("UIDs changed")),
    "reopen": _study(_("held again")),
    "clear": _study(_("cleared")),
    "release": _sent(_("released")),
    "deliver": _sent(_("delivered")),
    "reject": _study(_("rejected")),
    "reinstate": _study(_("rejection taken back")),
    "take over": _study(_("taken over"), "R"),
    "retry delivery": _sent(_("sent again by hand"), "R"),
    "delivery sent": _sent(_("accepted by the archive")),
    "delivery counted": _study(_("counted at the archive"), "R"),
    "delivery refused": _sent(_("refused by the archive")),
    "lost objects": _sent(_("not at the archive; sent again"), "R"),
    "commitment asked": _study(_("commitment asked for"), "R"),
    "commitment reported": _study(_("commitment reported"), "R"),
    "commitment ignored": _alert(_("commitment report ignored"), atna.NODE_AUTHENTICATION),
    "inspect again": _study(_("inspected again")),
    "look again": _alert(_("held studies inspected again"), _RULES),
    "change category": _study(_("category changed")),
    "keep by another rule": _study(_("kept by another rule")),
    "ask for release": _study(_("release asked for")),
    "withdraw release": _study(_("request of release withdrawn")),
    "decline release": _study(_("release declined")),
    # looking
    "emergency search": _alert(_("searched in an emergency"), atna.EMERGENCY_OVERRIDE),
    "emergency access": _alert(_("opened in an emergency"), atna.EMERGENCY_OVERRIDE),
    "review emergency access": Deed(_("emergency access reviewed"), atna.AUDIT_LOG_USED, "R"),
    "look at": _study(_("looked at"), "R"),
    "look up": Deed(_("looked up"), atna.QUERY, "E"),
    "search studies": Deed(_("studies searched"), atna.QUERY, "E"),
    "search patients": Deed(_("patients searched"), atna.QUERY, "E"),
    "read ledger": Deed(_("ledger read"), atna.AUDIT_LOG_USED, "R"),
    "export ledger": Deed(_("ledger exported"), atna.AUDIT_LOG_USED, "R"),
    "verify ledger": Deed(_("ledger verified"), atna.AUDIT_LOG_USED, "R"),
    "find ledger broken": _alert(_("ledger found broken"), atna.OBJECT_SECURITY),
    "anchor": Deed(_("ledger anchored"), atna.AUDIT_LOG_USED, "R"),
    # patients and orders
    "register": _patient(_("patient registered"), "C"),
    "update": _patient(_("updated"), "U"),
    "rename": _patient(_("identifier changed"), "U"),
    "fill in": _patient(_("filled in"), "U"),
    "change identifiers": _patient(_("identifiers changed"), "U"),
    "cross-reference": _patient(_("outside ID noted"), "U"),
    "link": _patient(_("outside ID linked"), "U"),
    "unlink": _patient(_("link ended"), "U"),
    "merge": _patient(_("merged"), "U"),
    "unmerge": _patient(_("merge undone"), "U"),
    "join": _order(_("two orders joined"), "U"),
    "generate": _order(_("order generated"), "C"),
    "enter": _order(_("order entered by hand"), "C"),
    "find on worklist": _order(_("order found on the worklist"), "C"),
    "number order": _order(_("order numbered"), "U"),
    "order accepted": _order(_("order accepted"), "U"),
    "order refused": _order(_("order refused"), "U"),
    "tell again": _order(_("order told again"), "R"),
    "cancel order": _order(_("order cancelled"), "D"),
    "replay": _order(_("message read again"), "U"),
    # consent and keeping
    "consent": _patient(_("consent recorded"), "U"),
    "withdraw consent": _patient(_("consent withdrawn"), "U"),
    "read consent": _patient(_("consent read"), "R"),
    "keep consent form": _patient(_("consent form kept"), "U"),
    "read consent form": _patient(_("consent form read"), "R"),
    "hold": _study(_("kept from deletion")),
    "lift hold": _study(_("may be deleted again")),
    "propose deletion": _study(_("deletion proposed")),
    "approve deletion": _study(_("deletion approved")),
    "agree to deletion": _study(_("deletion agreed to")),
    "take back deletion": _study(_("deletion taken back")),
    "stop deletion": _study(_("deletion stopped")),
    "archives to tell": _study(_("archives still to be told"), "R"),
    "tell archive": _sent(_("archive told that it is over")),
    "archive refuses note": _sent(_("note refused by the archive")),
    "tell archive again": _sent(_("archive told again"), "R"),
    "tell archive by hand": _study(_("archive told by hand"), "R"),
    "expire": Deed(_("expired"), atna.STUDY_DELETED, "D"),
    "delete": Deed(_("deleted"), atna.STUDY_DELETED, "D"),
    # people and policy
    "sign in": Deed(_("signed in"), atna.USER, "E", atna.LOGIN),
    "sign out": Deed(_("signed out"), atna.USER, "E", atna.LOGOUT),
    "failed sign-in": Deed(_("sign-in failed"), atna.USER, "E", atna.LOGIN),
    "session ended": Deed(_("session ended"), atna.USER, "E", atna.LOGOUT),
    "many views": _alert(_("looked at very many studies"), atna.RESTRICTED_FUNCTION),
    "large export": _alert(_("exported very many lines"), atna.RESTRICTED_FUNCTION),
    "link account": _alert(_("account linked"), _USERS),
    "unlink account": _alert(_("account unlinked"), _USERS),
    "set up second factor": _alert(_("second factor set up"), _USERS),
    "remove second factor": _alert(_("second factor removed"), _USERS),
    "make recovery codes": _alert(_("recovery codes made"), _USERS),
    "access denied": _alert(_("access denied"), atna.RESTRICTED_FUNCTION),
    "refuse association": _alert(_("association refused"), atna.NODE_AUTHENTICATION),
    "refuse connection": _alert(_("connection refused"), atna.NODE_AUTHENTICATION),
    "test connection": _alert(_("connection tested"), atna.SOFTWARE_CONFIGURATION),
    "make token": _alert(_("token made"), _USERS),
    "change password": _alert(_("password changed"), _USERS),
    "change groups": _alert(_("groups changed"), _USERS),
    "change grants": _alert(_("grants changed"), _USERS),
    "change aliases": _alert(_("aliases changed"), _RULES),
    "change senders": _alert(_("senders changed"), _RULES),
    "add": _alert(_("added"), _RULES),
    "change": _alert(_("changed"), _RULES),
    "remove": _alert(_("removed"), _RULES),
    "approve": _alert(_("approved"), _RULES),
    "draft": _alert(_("drafted"), _RULES),
    "submit draft": _alert(_("draft submitted"), _RULES),
    "approve draft": _alert(_("draft approved"), _RULES),
    "refuse draft": _alert(_("draft refused"), _RULES),
    "withdraw draft": _alert(_("draft withdrawn"), _RULES),
    "import policies": _alert(_("policies imported"), _RULES),
    "learn": _alert(_("matching weights learned"), _RULES),
    # the portal
    "start": Deed(_("started"), atna.APPLICATION_ACTIVITY, "E", atna.START),
    "stop": Deed(_("stopped"), atna.APPLICATION_ACTIVITY, "E", atna.STOP),
    "begin demo": _alert(_("demo begun"), atna.SOFTWARE_CONFIGURATION),
    "seed demo": _alert(_("demo filled"), atna.SOFTWARE_CONFIGURATION),
}


def words(verb: str) -> str:
    return str(DEEDS[verb].words) if verb in DEEDS else verb


def of(verb: str) -> Deed:
    return DEEDS.get(verb) or Deed(verb, atna.ALERT, "E", atna.RESTRICTED_FUNCTION)
