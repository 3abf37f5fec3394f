"""`hookseal master-key`: exchanging the master key."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from hookseal.cli import ui
from hookseal.cli.options import AsJson

if TYPE_CHECKING:
    from hookseal.config import Settings
    from hookseal.tenants.model import TenantsModel

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Exchange the master key.")

_AT_ONCE = 500
_LOOK_EVERY_S = 0.05


@app.callback()
def _secrets() -> None:
    pass


@app.command()
def rotate(
    timeout: Annotated[
        float, typer.Option(min=1, help="Seconds without progress after which to give up.")
    ] = 30.0,
    as_json: AsJson = False,
) -> None:
    """Have all tenants written under the current master key, so that the one before may go.

    All workers and API processes must have both keys by then: the new one as
    HOOKSEAL_MASTER_KEY, the one before as HOOKSEAL_MASTER_KEY_PREVIOUS. May be given again.
    """
    from hookseal.config import load

    settings = load()
    with ui.working("Having tenants rewritten"):
        rewritten, tenants = ui.run(_rotate(settings, timeout))
    if as_json:
        ui.json({"rewritten": rewritten, "tenants": tenants})
        return
    ui.print_line(
        f"Rewritten: {rewritten} of {tenants} tenants; all are under the current master key."
    )


async def _rotate(settings: "Settings", timeout_s: float) -> tuple[int, int]:
    from uuid import uuid4

    from hookseal.delivery.ports import Clock
    from hookseal.domain.command import RewriteTenant
    from hookseal.kafka.producer import Producer
    from hookseal.tenants.commands import KafkaCommands
    from hookseal.tenants.model import TenantsModel

    clock = Clock()
    async with (
        TenantsModel(settings.cluster, settings.tenant_codec()) as model,
        Producer(settings.cluster) as producer,
    ):
        commands = KafkaCommands(producer, settings.names, settings.tenant_codec())
        outdated = sorted(model.outdated)
        for start in range(0, len(outdated), _AT_ONCE):
            batch = outdated[start : start + _AT_ONCE]
            await asyncio.gather(
                *(
                    commands.submit_once(
                        RewriteTenant(
                            customer_id=customer_id, id=f"cmd_{uuid4().hex}", at=clock.now()
                        )
                    )
                    for customer_id in batch
                )
            )
            await _rewritten(model, frozenset(batch), timeout_s)
        return len(outdated), model.count


async def _rewritten(model: "TenantsModel", batch: frozenset[str], timeout_s: float) -> None:
    from hookseal.errors import BrokerError

    left = batch & model.outdated
    while left:
        try:
            async with asyncio.timeout(timeout_s):
                while len(now := batch & model.outdated) == len(left):  # noqa: ASYNC110
                    await asyncio.sleep(_LOOK_EVERY_S)
        except TimeoutError:
            raise BrokerError(
                "no_worker_answered",
                f"{len(left)} tenants are still under the master key before: no worker rewrote "
                "them. See that workers run, and that they have both keys; then give it again.",
            ) from None
        left = now
