"""What an organisation's program hears, how it can tell that it was us, and where nothing is sent."""

import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from apps.accounts.custody import seal
from apps.notifications.exceptions import DeliveryError
from apps.notifications.models import Delivery, Webhook
from apps.notifications.services import webhooks
from apps.notifications.services.letters import send_due
from apps.notifications.services.notices import Matter, end, tell
from apps.notifications.services.webhooks import call, check_url, is_public
from tests.notifications.conftest import STANDING, People

SECRET = b"a shared secret"


class Program(BaseHTTPRequestHandler):
    status = 204
    location = ""
    pause = 0.0
    heard: list[tuple[dict[str, str], bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.heard.append((dict(self.headers), body))
        time.sleep(self.pause)
        self.send_response(self.status)
        if self.location:
            self.send_header("Location", self.location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def program(settings: Any) -> Iterator[Any]:
    settings.WEBHOOKS_TO_PRIVATE_ADDRESSES = True
    handler: Any = type("BoundProgram", (Program,), {"heard": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        handler.url = f"http://127.0.0.1:{server.server_address[1]}/hook?x=1"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield handler
        server.shutdown()
        thread.join()


def hook(people: People, url: str, **values: Any) -> Webhook:
    return Webhook.objects.create(party=people.utility, url=url, sealed_secret=seal(SECRET), **values)


def box(people: People) -> Matter:
    return Matter(people.utility.pk, "box 1", {"name": "Box 1"})


def test_a_program_hears_both_and_can_check_who_said_it(people: People, program: Any) -> None:
    hook(people, program.url, kinds=["test.standing"])
    tell(STANDING, [box(people)])
    end(STANDING, ["box 1"])
    send_due()
    ((headers, body),) = program.heard
    at, signature = (part.partition("=")[2] for part in headers["Energymarket-Signature"].split(","))
    assert abs(int(at) - time.time()) < 10
    assert signature == hmac.new(SECRET, f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    assert headers["Content-Type"] == "application/json"
    raised, over = json.loads(body)["notices"]
    assert {name: raised[name] for name in ("kind", "severity", "stage", "about", "subject", "text", "link")} == {
        "kind": "test.standing",
        "severity": "alarm",
        "stage": "raised",
        "about": "box 1",
        "subject": "Silence of Box 1",
        "text": "Box 1 is silent.",
        "link": "",
    }
    assert (over["stage"], over["text"], over["id"] != raised["id"]) == ("over", "Box 1 is back.", True)
    assert set(Delivery.objects.filter(user=None).values_list("state", flat=True)) == {"sent"}


def test_only_active_webhooks_of_the_party_and_the_kind_are_called(people: People, program: Any) -> None:
    hook(people, program.url, is_active=False)
    hook(people, program.url, kinds=["test.once"])
    other = hook(people, program.url)
    Webhook.objects.filter(pk=other.pk).update(party=people.customer)
    tell(STANDING, [box(people)])
    assert not Delivery.objects.exclude(webhook=None).exists()


def test_one_that_was_switched_off_meanwhile_is_not_called(people: People, program: Any) -> None:
    made = hook(people, program.url)
    tell(STANDING, [box(people)])
    Webhook.objects.filter(pk=made.pk).update(is_active=False)
    send_due()
    assert (program.heard, Delivery.objects.get(webhook=made).state) == ([], "dropped")


@pytest.mark.parametrize("status", [301, 307, 404, 500])
def test_anything_but_success_is_tried_again_and_no_redirect_is_followed(
    people: People, program: Any, status: int
) -> None:
    program.status, program.location = status, program.url
    hook(people, program.url)
    tell(STANDING, [box(people)])
    send_due()
    delivery = Delivery.objects.get(user=None)
    assert (len(program.heard), delivery.state, delivery.error) == (1, "waiting", f"answered {status}")


def test_a_slow_program_is_not_waited_for(program: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "SECONDS", 0.2)
    program.pause = 1.0
    with pytest.raises(DeliveryError, match=r"no answer within|ReadTimeout"):
        call(program.url, SECRET, b"{}")


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/",
        "http://127.0.0.1/",
        "ftp://example.org/",
        "https://user:word@example.org/",
        "https://user@example.org/",
        "https:///path",
        "https://example.org:x/",
        "//example.org/",
        "",
    ],
)
def test_addresses_that_are_not_taken(url: str) -> None:
    with pytest.raises(ValidationError):
        check_url(url)
    with pytest.raises(DeliveryError):
        call(url, SECRET, b"{}")


def test_plain_http_is_for_this_machine_only(settings: Any) -> None:
    settings.WEBHOOKS_TO_PRIVATE_ADDRESSES = True
    check_url("http://127.0.0.1:8000/")
    check_url("http://[::1]/")
    for url in ("http://10.0.0.1/", "http://example.org/"):
        with pytest.raises(ValidationError):
            check_url(url)


INSIDE = """
127.0.0.1 10.1.2.3 192.168.0.1 172.16.0.1 169.254.169.254 0.0.0.0 100.64.0.1 224.0.0.1
::1 :: fe80::1 fd00::1 ::ffff:10.0.0.1 64:ff9b::a00:1 2002:a00:1:: 2001::1 ff02::1
"""


@pytest.mark.parametrize("address", INSIDE.split())
def test_addresses_inside_are_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


def test_public_addresses_are() -> None:
    for address in ("93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:93.184.216.34"):
        assert is_public(ip_address(address))


def test_a_name_that_leads_inside_is_refused_even_beside_a_public_address(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*arguments: Any, **named: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 443)) for ip in ("93.184.216.34", "10.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(DeliveryError, match="not public"):
        call("https://hook.example/", SECRET, b"{}")


def test_the_name_is_looked_up_once_and_the_address_that_was_checked_is_called(
    program: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(program.url.split(":")[2].split("/")[0])
    asked = []

    def resolve(host: str, *arguments: Any, **named: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    call(f"http://localhost:{port}/", SECRET, b"{}")
    assert asked[0] == "localhost"
    assert all(host == "127.0.0.1" for host in asked[1:])
    assert program.heard[0][0]["Host"] == f"localhost:{port}"


def test_a_name_that_nobody_knows() -> None:
    with pytest.raises(DeliveryError, match="cannot be resolved"):
        call("https://no-such-name.invalid/", SECRET, b"{}")
