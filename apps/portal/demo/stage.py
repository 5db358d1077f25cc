"""Sets the demonstration up and runs it: servers, programs, market, agents, days."""

import datetime as dt
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

from django.conf import settings
from django.core.management import call_command
from django.db import connections
from django.db.models import Max
from django.utils import timezone

from apps.assets.models import MarketArea
from apps.billing.exceptions import BillingError
from apps.metering.models import Batch
from apps.offers.exceptions import OfferError
from apps.portal.demo import agents
from apps.portal.demo.agents import Box, Sent, boxes
from apps.portal.demo.checks import Findings, check_day
from apps.portal.demo.day import ONE_DAY, Clerk, settled_days, unsettled_days
from apps.portal.demo.files import private_folder, write_private
from apps.portal.demo.market import box_name, find_market, login_password, make_market
from apps.portal.demo.network import found, ledger_network
from apps.portal.demo.street import AUDITOR, CLERK, HOMES, UTILITY
from apps.portal.demo.waiting import wait_for_ledger, wait_for_web
from apps.settlement.exceptions import SettlementError
from energymarket.supervisor.core import Child, StopOrder, Supervisor
from energymarket.supervisor.places import Places
from energymarket.supervisor.postgres import start_postgres
from energymarket.supervisor.redis_server import start_redis
from evidence.keys import PublicKey
from market_math.slots import local_day

WEB_PORT = 8000
PORTS_TRIED = 100
RETRY = 60.0  # seconds until a day that is not complete is looked at again

# What a market day cannot be finished for; the message says what is missing.
NotYet = (SettlementError, OfferError, BillingError)

# A demonstration has no certificate and sends no mail.
PLAIN = {"ENERGYMARKET_HTTPS": "false", "ENERGYMARKET_EMAIL_VERIFICATION": "none"}


class Stage:
    """The demonstration in the data folder that `supervisor` owns."""

    def __init__(self, supervisor: Supervisor, say: Callable[[str], None]) -> None:
        self.supervisor = supervisor
        self.say = say
        self.folder = settings.DATA_DIR / "demo"
        self.port = 0
        self.boxes: tuple[Box, ...] = boxes(self.folder)
        self.keys: dict[int, PublicKey] = {}

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def street_profile(self) -> Path:
        return self.folder / "meters.toml"

    def start_servers(self, postgres_options: Mapping[str, str] | None = None) -> None:
        self.say("Starting PostgreSQL and Redis ...")
        start_postgres(self.supervisor, options=postgres_options)
        start_redis(self.supervisor)
        self.say("Bringing the database up to date ...")
        call_command("migrate", verbosity=0, interactive=False)
        call_command("collectstatic", verbosity=0, interactive=False)
        found()

    def start_programs(self, port: int) -> None:
        """Start the web server, the worker and the scheduler."""
        self.port = port
        self.say("Starting web server, worker and scheduler ...")
        celery = [sys.executable, "-m", "celery", "--app", "energymarket"]
        schedule = str(settings.DATA_DIR / "celerybeat-schedule")
        web = [sys.executable, "-m", "gunicorn", "-c", "python:energymarket.gunicorn", "--bind", f"127.0.0.1:{port}"]
        self._start("web", web, StopOrder.WEB)
        self._start("worker", [*celery, "worker", "--pool", "solo", "--without-mingle"], StopOrder.WORKER)
        self._start("scheduler", [*celery, "beat", "--schedule", schedule, "--pidfile="], StopOrder.SCHEDULER)

    def _start(self, name: str, command: list[str], order: StopOrder) -> None:
        environment = {variable: value for variable, value in PLAIN.items() if variable not in os.environ}
        self.supervisor.start(Child(name, command, order, environment=environment, folder=settings.BASE_DIR))

    def open_market(self) -> MarketArea:
        """Find or make the market, and tell the agents about it."""
        private_folder(self.folder)
        area = find_market()
        self.keys = agents.make_keys(self.boxes)
        if area is None:
            self.say(f"Making the market of {UTILITY}: {len(HOMES)} homes, {len(self.boxes)} meter agents ...")
            area = make_market(self.keys, login_password(self.folder))
        wait_for_ledger(self.supervisor.check)
        area = MarketArea.objects.select_related("utility").get(pk=area.pk)
        self._enrol(area)
        wait_for_web(self.port, self.supervisor.check)
        return area

    def _enrol(self, area: MarketArea) -> None:
        meter_port = free_port()
        for box in self.boxes:
            agents.check_key(area, box, self.keys[box.number])
            agents.write_settings(box, area, self.address, meter_port)
        points = {point.code: point for point in area.points.all()}
        write_private(self.street_profile, agents.profile(HOMES, points, area, meter_port))

    def replay(self, day: dt.date) -> None:
        self.say(f"{day}: {len(self.boxes)} meter agents read and send the day ...")
        agents.replay(self.supervisor, self.boxes, day)

    def start_agents(self) -> None:
        self.say("Starting the meters and their agents in real time ...")
        agents.start_live(self.supervisor, self.boxes, self.street_profile)

    def sent(self, area: MarketArea) -> dict[bytes, Sent]:
        """What each agent says that it has sent, by its device's ledger id."""
        device = {device.name: bytes(device.ledger_id) for device in area.devices.all()}
        return {device[box_name(box.number)]: agents.sent_by(box, self.keys[box.number]) for box in self.boxes}


def run(say: Callable[[str], None]) -> NoReturn:
    """The demonstration in the installation's own data folder, until a signal (KeyboardInterrupt)."""
    with ledger_network(say), Supervisor(settings.DATA_DIR) as supervisor:
        try:
            stage = Stage(supervisor, say)
            stage.start_servers()
            stage.start_programs(next_free_port(WEB_PORT))
            area = stage.open_market()
            clerk = Clerk(area, supervisor.check, say)
            for day in days_to_replay(area):
                stage.replay(day)
            work_off(clerk)
            stage.start_agents()
            welcome(stage)
            stay(clerk)
        finally:
            connections.close_all()


def run_once(say: Callable[[str], None], day: dt.date | None) -> Findings:
    """One market day in a data folder of its own, checked."""
    with ledger_network(say), Supervisor(settings.DATA_DIR) as supervisor:
        try:
            stage = Stage(supervisor, say)
            # Nothing of this survives the run, so nothing has to be waited for until it is on the disk.
            stage.start_servers({"fsync": "off", "full_page_writes": "off"})
            stage.start_programs(free_port())
            area = stage.open_market()
            chosen = day or today(area) - ONE_DAY
            stage.replay(chosen)
            Clerk(area, supervisor.check, say).trade(chosen)
            wait_for_ledger(supervisor.check)
            say("Checking ...")
            return check_day(area, chosen, stage.sent(area), private_folder(stage.folder / "check"))
        finally:
            connections.close_all()


def today(area: MarketArea) -> dt.date:
    return timezone.now().astimezone(area.zone).date()


def days_to_replay(area: MarketArea) -> list[dt.date]:
    """Past days of which an agent may lack readings: at first the two days before today."""
    now = today(area)
    first = now - 2 * ONE_DAY
    oldest = Batch.objects.filter(area=area).order_by("day").values_list("day", flat=True).first()
    ends = area.devices.annotate(reached=Max("batches__end")).values_list("reached", flat=True)
    start = min(local_day(end, area.zone) if end else oldest or first for end in ends)
    return [start + n * ONE_DAY for n in range((now - start).days)]


def work_off(clerk: Clerk) -> bool:
    """Settle all days but the newest before yesterday, whose surplus stays on offer. False when one has to wait."""
    yesterday = today(clerk.area) - ONE_DAY
    last = settled_days(clerk.area).order_by("-created_at").first()
    if last is not None:
        clerk.bill(last.day)
    days = unsettled_days(clerk.area, before=today(clerk.area))
    older = [day for day in days if day != yesterday]
    done = [_attempt(clerk, clerk.finish_or_trade, day) for day in older[:-1]]
    if yesterday in days:
        done.append(_attempt(clerk, clerk.trade, yesterday))
    if older:
        done.append(_attempt(clerk, clerk.show, older[-1]))
    return all(done)


def _attempt(clerk: Clerk, step: Callable[[dt.date], None], day: dt.date) -> bool:
    try:
        step(day)
    except NotYet as error:
        clerk.say(f"  this day has to wait: {error}")
        return False
    return True


def stay(clerk: Clerk) -> NoReturn:
    """Watch until a signal comes; when a day is over, take it through the market too."""
    day, again = today(clerk.area), 0.0
    while True:
        clerk.watch()
        time.sleep(0.2)
        if today(clerk.area) != day and time.monotonic() > again:
            again = time.monotonic() + RETRY
            if work_off(clerk):
                day = today(clerk.area)


def welcome(stage: Stage) -> None:
    logins = {home.email: f"{home.person}, {home.street}" for home in HOMES if home.email}
    logins |= {CLERK: f"works for {UTILITY}", AUDITOR: "may look at everything and change nothing"}
    lines = ["", f"The market of {UTILITY} is open: {stage.address}", "", "Sign in as"]
    lines += [f"  {email:24} {text}" for email, text in logins.items()]
    lines += [f"with the password {login_password(stage.folder)}", "", "Look first at"]
    lines += [
        "  1. Today, as anna@example.org: where the sun on the largest roof went yesterday.",
        "  2. Market, as david@example.org: buy what neighbours still offer from the day before.",
        "  3. Invoices, as either: open one, press Verify, and follow its figures back to the meter.",
        "",
        "Ctrl-C ends everything that was started here. The next start goes on with the same data.",
    ]
    stage.say("\n".join(lines))


def next_free_port(first: int) -> int:
    for port in range(first, first + PORTS_TRIED):
        if _is_free(port):
            return port
    return free_port()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the web server does, or a port would seem taken for a minute after its last use.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def remove_data(places: Places) -> None:
    """Remove a throw-away data folder and what PostgreSQL and Redis keep elsewhere for it."""
    for folder in (places.postgres_home, places.postgres_run, places.redis_run, places.root):
        if folder.exists():
            shutil.rmtree(folder)
