"""A REST client for the tests of the running portal, and what such a portal needs before the first study comes."""

import http.client
import json
import time
from urllib.parse import urlsplit

SETUP = """
import datetime, json
from rest_framework.authtoken.models import Token
from orders.models import AccessionSequence
from policies import roles
from policies.models import Destination, Procedure, Reason, RetentionRule, Source, User
groups = roles.install()
tokens = {}
for name, group in {"desk": "Reconciliation", "releaser": "Releasing officers"}.items():
    user = User.objects.create(username=name)
    user.groups.add(groups[group])
    tokens[name] = Token.objects.create(user=user).key
Source.objects.create(name="General Hospital", ae_title="SENDER", issuer="GENERAL")
to = Destination.objects.create(name="PACS", ae_title=%(ae_title)r, host="127.0.0.1", port=%(port)s, proof="none")
Procedure.objects.create(code="OUT", meaning="Outside study, import")
RetentionRule.objects.create(name="Outside studies", period="P1Y")
Reason.objects.create(code="not-ours", sentence="Not our patient.")
AccessionSequence.objects.create(prefix="IMP", issuer="LOCAL")
print(json.dumps({"tokens": tokens, "destination": str(to.pk)}))
"""


def furnish(portal, *, ae_title: str, port: int) -> dict:
    """Roles, users, a sender `SENDER`, a destination and policies; gives the tokens and the destination's key."""
    return json.loads(portal.shell(SETUP % {"ae_title": ae_title, "port": port}))


class Rest:
    """Calls as one user; answers other than 2xx fail the test unless `expect` names the status."""

    def __init__(self, portal, token: str):
        self.netloc, self.token = urlsplit(portal.http_url).netloc, token

    def __call__(self, method: str, path: str, body: dict | None = None, *, expect: int = 0) -> dict:
        asked = http.client.HTTPConnection(self.netloc, timeout=60)
        headers = {"Authorization": f"Token {self.token}", "Content-Type": "application/json"}
        try:
            asked.request(method, f"/api/{path}", json.dumps(body or {}) if method == "POST" else None, headers)
            answer = asked.getresponse()
            content = answer.read()
        finally:
            asked.close()
        right = answer.status == expect if expect else answer.status < 300
        assert right, f"{method} {path}: {answer.status} {content[:800]!r}"
        return json.loads(content or b"{}")

    def get(self, path: str, **more) -> dict:
        return self("GET", path, **more)

    def post(self, path: str, body: dict | None = None, **more) -> dict:
        return self("POST", path, body, **more)

    def studies(self, **filters: str) -> list[dict]:
        """All studies under these filters, over all pages."""
        path, found = "studies/?" + "&".join(f"{k}={v}" for k, v in filters.items()), []
        while path:
            page = self.get(path)
            found += page["results"]
            path = (page["next"] or "").partition("/api/")[2]
        return found

    def until(self, count: int, *, seconds: float = 60, **filters: str) -> list[dict]:
        """Wait until that many studies are under these filters."""
        deadline = time.monotonic() + seconds
        while len(found := self.studies(**filters)) < count:
            assert time.monotonic() < deadline, f"{len(found)} of {count} studies with {filters} after {seconds} s"
            time.sleep(0.3)
        return found
