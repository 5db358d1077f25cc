"""Through a market's server, which puts the command into its outbox and knows later what the ledger said."""

import httpx

from evidence.canonical import encode_bytes
from ledger_adapters.contract.errors import Code
from meter_agent.destinations import Relay
from meter_agent.journal import Report
from meter_agent.senders import WriteDown
from meter_agent.uplink import Unavailable, is_refusal, retry_after

PATH = "/api/v1/daily-reports"


class RelaySender:
    def __init__(self, way: Relay, client: httpx.AsyncClient, path: str = PATH) -> None:
        self.url = way.server + path
        self.client = client

    async def send(self, report: Report, write_down: WriteDown) -> Code | None:
        try:
            answer = await self.client.post(self.url, json={"envelope": encode_bytes(report.envelope)})
        except httpx.HTTPError as error:
            raise Unavailable(f"{type(error).__name__} {error}") from None
        if is_refusal(answer) and answer.status_code == 422:
            return _refused(answer)
        if not answer.is_success:
            raise Unavailable(f"answered {answer.status_code}", retry_after(answer))
        try:
            code = answer.json()["code"]
            return None if code is None else Code(int(code))
        except (ValueError, KeyError, TypeError):
            raise Unavailable("answered without saying what became of the report") from None

    async def close(self) -> None:
        """The client is the agent's."""


def _refused(answer: httpx.Response) -> Code:
    """A rule of the contract that the server has found broken before it asked the ledger."""
    try:
        return Code[answer.json()["errors"][0]["rule"].upper()]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        raise Unavailable(f"answered 422 {answer.text[:200]}") from None
