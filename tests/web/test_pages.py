import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.test import Client, RequestFactory
from django.views import defaults
from django.views.csrf import csrf_failure

from apps.web.context_processors import page
from apps.web.styleguide import CLOCKS_FORWARD, sample
from apps.web.views import styleguide

STATIC = Path(settings.BASE_DIR) / "static"
TEMPLATES = Path(settings.BASE_DIR) / "templates"


class InlineCode(HTMLParser):
    """Collects what a strict Content-Security-Policy would refuse."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = {name for name, _value in attrs}
        if tag == "style" or "style" in names or (tag == "script" and "src" not in names):
            self.found.append(f"<{tag} {attrs}>")
        self.found += [f"<{tag} {name}>" for name in names if name.startswith("on")]


def inline_code(html: str) -> list[str]:
    parser = InlineCode()
    parser.feed(html)
    return parser.found


def bad_request(request: HttpRequest) -> HttpResponse:
    return defaults.bad_request(request, ValueError("no"))


def denied(request: HttpRequest) -> HttpResponse:
    return defaults.permission_denied(request, PermissionDenied())


def not_found(request: HttpRequest) -> HttpResponse:
    return defaults.page_not_found(request, ValueError("no"))


@pytest.mark.parametrize(
    ("view", "status", "words"),
    [
        (bad_request, 400, "We could not read what your browser sent."),
        (denied, 403, "This page belongs to somebody else."),
        (csrf_failure, 403, "This form was open for too long."),
        (not_found, 404, "There is no page at this address."),
        (defaults.server_error, 500, "Something broke on our side."),
    ],
)
def test_error_pages_say_what_happened(view: Callable[[HttpRequest], HttpResponse], status: int, words: str) -> None:
    response = view(RequestFactory().get("/"))
    html = response.content.decode()
    assert response.status_code == status
    assert words in html
    assert "Go to the start page" in html
    assert inline_code(html) == []


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["login/", "signup/", "password/reset/", "password/reset/done/"])
def test_account_pages_fit_the_look(client: Client, path: str) -> None:
    response = client.get(f"/accounts/{path}")
    html = response.content.decode()
    assert response.status_code == 200
    assert 'class="site-header"' in html
    assert '<main id="main"' in html
    assert inline_code(html) == []


@pytest.mark.django_db
def test_the_language_switch_works_without_javascript(client: Client) -> None:
    html = client.get("/accounts/login/").content.decode()
    assert 'action="/i18n/setlang/"' in html
    for code in ("de", "es", "en"):
        assert f'value="{code}" lang="{code}"' in html
    response = client.post("/i18n/setlang/", {"language": "de", "next": "/accounts/login/"})
    assert response.headers["Location"] == "/accounts/login/"
    assert '<html lang="de">' in client.get("/accounts/login/").content.decode()


def test_all_components_together_carry_no_inline_code() -> None:
    request = RequestFactory().get("/")
    request.user = AnonymousUser()
    html = render_to_string("styleguide.html", sample(CLOCKS_FORWARD), request)
    assert html.count("<figure") == 4
    assert inline_code(html) == []


def test_the_styleguide_is_for_developers_only() -> None:
    with pytest.raises(Http404):
        styleguide(RequestFactory().get("/styleguide/"))


def test_the_context_of_a_page_names_the_product_and_its_links() -> None:
    request = RequestFactory().get("/")
    request.user = AnonymousUser()
    context = page(request)
    assert context["product_name"] == "Energymarket"
    assert isinstance(list(context["main_links"]), list)
    assert isinstance(list(context["account_links"]), list)


def test_no_template_carries_inline_styles() -> None:
    for path in TEMPLATES.rglob("*.html"):
        assert " style=" not in path.read_text(), path


def test_every_file_that_a_stylesheet_names_is_shipped() -> None:
    for sheet in (STATIC / "css").glob("*.css"):
        for name in re.findall(r'url\("([^"]+)"\)', sheet.read_text()):
            assert (sheet.parent / name).resolve().is_file(), f"{sheet.name}: {name}"
    assert "SIL Open Font License" in (STATIC / "font" / "OFL-Inter.txt").read_text()


def _tokens(css: str) -> dict[str, str]:
    return dict(re.findall(r"--([a-z-]+):\s*(#[0-9a-f]{6})", css))


def _luminance(colour: str) -> float:
    channels = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(first: str, second: str) -> float:
    light, dark = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast(scheme: str) -> None:
    light, _, rest = (
        (STATIC / "css" / "tokens.css").read_text().partition("@media screen and (prefers-color-scheme: dark)")
    )
    tokens = _tokens(light)
    if scheme == "dark":
        tokens |= _tokens(rest.partition("@media")[0])
    pairs = [(text, ground) for text in ("ink", "ink-soft", "accent") for ground in ("paper", "surface")]
    pairs += [
        ("on-accent", "accent"),
        ("on-accent", "accent-strong"),
        ("ink", "accent-soft"),
        ("ink-soft", "area-soft"),
    ]
    pairs += [(tone, f"{tone}-soft") for tone in ("good", "waiting", "bad")]
    pairs += [(tone, "paper") for tone in ("good", "waiting", "bad")]
    for text, ground in pairs:
        assert _contrast(tokens[text], tokens[ground]) >= 4.5, (text, ground)
    assert _contrast(tokens["line-strong"], tokens["surface"]) >= 3
