"""What holds for every page and template: sizes, icons that exist, keys that are explained, headers, error pages."""

import re
from pathlib import Path
from statistics import median

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse

from tests import make

TEMPLATES = sorted((settings.BASE_DIR / "templates").rglob("*.html"))
STATIC = settings.BASE_DIR / "imgshare_site" / "static" / "portal"


def read(path: Path) -> str:
    return path.read_text()


def named(path: Path) -> str:
    return str(path.relative_to(settings.BASE_DIR / "templates"))


@pytest.mark.parametrize("path", TEMPLATES, ids=named)
def test_a_template_is_short(path):
    assert len(read(path).splitlines()) <= 120


def test_templates_are_short_as_a_rule():
    assert median(len(read(path).splitlines()) for path in TEMPLATES) <= 30


@pytest.mark.parametrize("path", TEMPLATES, ids=named)
def test_every_form_that_posts_is_guarded_against_forgery(path):
    forms = re.findall(r"<form[^>]*method=\"post\".*?</form>", read(path), re.DOTALL)

    assert [form for form in forms if "csrf_token" not in form and "_seen.html" not in form] == []


@pytest.mark.parametrize("path", TEMPLATES, ids=named)
def test_every_form_of_htmx_is_a_plain_form_too(path):
    for form in re.findall(r"<form[^>]*hx-post=\"([^\"]*)\"[^>]*>", read(path)):
        assert f'action="{form}"' in read(path)


def test_every_icon_is_drawn():
    drawn = set(re.findall(r'<symbol [^>]*id="([a-z-]+)"', read(STATIC / "icons.svg")))
    asked = {name for path in TEMPLATES for name in re.findall(r'{% icon "([a-z-]+)" %}', read(path))}
    # Asked for by a value: states, agreements, classes of a match.
    asked |= {"receiving", "held", "mapped", "cleared", "released", "delivered", "rejected", "queued", "sending"}
    asked |= {"refused", "sent", "same", "similar", "different", "missing", "strong", "possible", "weak", "conflict"}

    assert asked - drawn == set()


def test_every_key_is_explained_on_the_sheet():
    sheet = set(re.findall(r"<kbd>([^<]+)</kbd>", read(settings.BASE_DIR / "templates" / "_keys.html")))
    keys = {key for path in TEMPLATES for key in re.findall(r'data-key="([^"{]+)"', read(path))}

    assert {part for key in keys for part in key.split()} - sheet == set()


def test_no_key_decides_anything():
    """Pressing a key focuses a field, opens a page or chooses a candidate; it never sends a form."""
    for path in TEMPLATES:
        assert not re.search(r"<button(?![^>]*type=\"button\")[^>]*data-key", read(path))


def test_styles_and_scripts_come_from_files_only():
    for path in [*TEMPLATES, *STATIC.glob("*.js")]:
        assert not re.search(r"\beval\(|https?://(?!www\.w3\.org)|//cdn", read(path)), path


@pytest.mark.django_db
def test_the_sign_in_page_may_be_seen_by_anybody():
    response = Client().get(reverse("login"))

    assert response.status_code == 200
    assert "<h1>Sign in</h1>" in response.content.decode()


@pytest.mark.django_db
def test_a_wrong_password_is_answered_in_words():
    response = Client().post(reverse("login"), {"login": "nobody", "password": "nothing"})

    assert "do not fit" in response.content.decode()


@pytest.mark.django_db
def test_a_page_is_kept_by_no_browser_and_runs_no_foreign_script():
    client = Client()
    client.force_login(make.user("desk"))

    response = client.get(reverse("queue"))

    assert response["Cache-Control"] == "no-store"
    assert "default-src 'self'" in response["Content-Security-Policy"]
    assert "unsafe" not in response["Content-Security-Policy"]


@pytest.mark.django_db
def test_an_address_that_leads_nowhere_says_so():
    client = Client()
    client.force_login(make.user("desk"))

    response = client.get("/studies/7a0c4d5e-0000-4000-8000-000000000000/")

    assert response.status_code == 404
    assert "not for you to see" in response.content.decode()


@pytest.mark.django_db
def test_a_forged_form_is_refused_with_advice():
    client = Client(enforce_csrf_checks=True)
    client.force_login(make.user("desk"))

    response = client.post(reverse("search"), {"words": "x"})

    assert response.status_code == 403
    assert "load the page again" in response.content.decode()


@pytest.mark.django_db
def test_somebody_signs_out_by_a_form_only():
    client = Client()
    client.force_login(make.user("desk"))

    assert client.get(reverse("logout")).status_code == 405
    assert client.post(reverse("logout")).status_code == 302
    assert client.get(reverse("queue")).status_code == 302
