"""`hookseal master-key`: replace the master key."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from hookseal.cli import ui
from hookseal.cli.options import AsJson

if TYPE_CHECKING:
    from hookseal.config import Settings
    from hookseal.tenants.model import TenantsModel

app = typer.Typer(no_args_is_help=True, help="Replace the master key.")

_BATCH = 500
_POLL_S = 0.05


@app.callback()
def _group() -> None:
    # Without a callback Typer turns the only command into the group itself.
    pass


@app.command()
def rotate(
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait for progress.")] = 30.0,
    as_json: AsJson = False,
) -> None:
    """Re-encrypt all tenants with the current master key, so that the previous one can go.

    First give both keys to all workers and API processes: the new one as HOOKSEAL_MASTER_KEY, the
    old one as HOOKSEAL_MASTER_KEY_PREVIOUS. The command can be repeated.
    """
    from hookseal.config import load

    settings = load()
    with ui.working("Re-encrypting the tenants"):
        rewritten, tenants = ui.run(_rotate(settings, timeout))
    text = f"Rewritten: {rewritten} of {tenants} tenants; all use the current master key."
    ui.result({"rewritten": rewritten, "tenants": tenants}, text, as_json=as_json)


async def _rotate(settings: "Settings", timeout_s: float) -> tuple[int, int]:
    from uuid import uuid4

    from hookseal.delivery.ports import Clock
    from hookseal.domain.command import RewriteTenant
    from hookseal.kafka.producer import Producer
    from hookseal.tenants.commands import KafkaCommands
    from hookseal.tenants.model import TenantsModel

    clock = Clock()

    def rewrite(customer_id: str) -> RewriteTenant:
        return RewriteTenant(customer_id=customer_id, id=f"cmd_{uuid4().hex}", at=clock.now())

    async with (
        TenantsModel(settings.cluster, settings.tenant_codec()) as model,
        Producer(settings.cluster) as producer,
    ):
        commands = KafkaCommands(producer, settings.names, settings.tenant_codec())
        outdated = sorted(model.outdated)
        for start in range(0, len(outdated), _BATCH):
            batch = outdated[start : start + _BATCH]
            await asyncio.gather(*(commands.submit_once(rewrite(one)) for one in batch))
            await _wait_for(model, frozenset(batch), timeout_s)
        return len(outdated), model.count


async def _wait_for(model: "TenantsModel", batch: frozenset[str], timeout_s: float) -> None:
    from hookseal.errors import BrokerError

    left = batch & model.outdated
    while left:
        try:
            async with asyncio.timeout(timeout_s):
                while len(now := batch & model.outdated) == len(left):  # noqa: ASYNC110
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            raise BrokerError(
                "no_worker_answered",
                f"No worker re-encrypted a tenant within {timeout_s:g} s. {len(left)} tenants "
                "still use the previous master key. Check that workers run and have both keys, "
                "then repeat the command.",
            ) from None
        left = now
