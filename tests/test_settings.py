import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from apps.accounts.models import User
from energymarket.settings.environment import PROJECT_DIR, read_environment
from energymarket.settings.servers import broker_url, django_database, installation_key


def test_secret_from_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text("from the file\n")
    monkeypatch.setenv("ENERGYMARKET_SECRET_KEY_FILE", str(tmp_path / "key"))
    secret = read_environment().secret_key
    assert secret is not None
    assert secret.get_secret_value() == "from the file"


def test_database_url_from_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "url").write_text("postgresql://somewhere/market")
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.setenv("DATABASE_URL_FILE", str(tmp_path / "url"))
    url = read_environment().database_url
    assert url is not None
    assert url.get_secret_value() == "postgresql://somewhere/market"


def test_unreadable_secret_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENERGYMARKET_EMAIL_PASSWORD_FILE", str(tmp_path / "missing"))
    with pytest.raises(ImproperlyConfigured, match=r"^ENERGYMARKET_EMAIL_PASSWORD_FILE: cannot read .*: No such file"):
        read_environment()


def test_secret_and_its_file_together_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENERGYMARKET_SECRET_KEY", "a")
    monkeypatch.setenv("ENERGYMARKET_SECRET_KEY_FILE", str(tmp_path / "key"))
    with pytest.raises(ImproperlyConfigured, match="ENERGYMARKET_SECRET_KEY and ENERGYMARKET_SECRET_KEY_FILE"):
        read_environment()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ENERGYMARKET_DEBUG", "perhaps"),
        ("ENERGYMARKET_EMAIL_PORT", "70000"),
        ("ENERGYMARKET_EMAIL_VERIFICATION", "sometimes"),
        ("ENERGYMARKET_LANGUAGE", "fr"),
        ("DATABASE_URL", "mysql://host/name"),
        ("DATABASE_URL", "postgresql://host/"),
        ("DATABASE_URL", "postgresql://host/name?colour=blue"),
        ("REDIS_URL", "http://host"),
    ],
)
def test_wrong_value_ends_the_start_with_one_line(variable: str, value: str) -> None:
    finished = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=PROJECT_DIR,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "energymarket.settings.base", variable: value},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 1
    assert len(finished.stderr.splitlines()) == 1
    assert finished.stderr.startswith(f"energymarket: {variable}: ")


@pytest.mark.parametrize("rest", ["@[host/name", "%2@host/name", "@host:port/name"])
def test_a_password_in_a_wrong_url_is_not_shown(rest: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"^DATABASE_URL: ") as caught:
        django_database(f"postgresql://me:hunter2{rest}")
    assert "hunter2" not in str(caught.value)


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENERGYMARKET_ALLOWED_HOSTS", "market.example.org, www.example.org")
    assert read_environment().allowed_hosts == ("market.example.org", "www.example.org")


def test_database_on_a_socket() -> None:
    database = django_database("postgresql://role@/name?host=%2Fa%20b%2Frun&requirepeer=me")
    assert (database["HOST"], database["NAME"], database["USER"]) == ("/a b/run", "name", "role")
    assert database["OPTIONS"] == {"requirepeer": "me"}


def test_broker_on_a_socket_and_on_a_host() -> None:
    assert broker_url("unix:///a%20b/redis.sock?db=3") == "redis+socket:///a%20b/redis.sock?virtual_host=3"
    assert broker_url("redis://host:6379/1") == "redis://host:6379/1"


def test_installation_key_is_made_once_and_private(tmp_path: Path) -> None:
    key = installation_key(tmp_path / "data")
    assert len(key) >= 50
    assert installation_key(tmp_path / "data") == key
    assert stat.S_IMODE((tmp_path / "data" / "secret-key").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["secret-key"]


@pytest.mark.django_db
def test_people_are_found_whatever_the_case_of_their_address() -> None:
    user = User.objects.create_user("Maria@Example.org", "a password")
    assert User.objects.get_by_natural_key("maria@example.ORG") == user


@pytest.mark.django_db
def test_addresses_that_differ_in_case_only_are_refused() -> None:
    User.objects.create_user("maria@example.org", "a password")
    with pytest.raises(Exception, match="accounts_user_email_unique"):
        User.objects.create_user("MARIA@example.org", "another")
