"""A customer at a glance: the gateway's composing against that of nginx with Lua."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from tests.bench import nginx
from tests.bench.data import Dice, customer_id
from tests.bench.load import Asked, closed_loop, get
from tests.bench.measuring import Measure, Options, Row
from tests.bench.nginx import Nginx
from tests.bench.stage import Stage, stage

from crm_local.ports import HOST, free_port

SERVICES = ("profiles", "segmentation", "tickets", "loyalty")
CLIENTS = (16, 64)

_WHOLE = 4
"""So many sections are well in a right answer."""


@dataclass(frozen=True)
class Composer:
    """Something that answers 360, and the process whose cost that is."""

    process: str
    port: int
    internal: bool
    """Whether it is spoken to with the internal token, which it hands on."""


@asynccontextmanager
async def glance(options: Options) -> AsyncIterator[Sequence[Row]]:
    """The gateway and nginx in turns; in every answer all four sections must be well.

    Over the services both mostly wait for the same four; over stand-ins that answer at once only the
    composing is left.
    """
    async with stage() as on:
        for service in SERVICES:
            await on.seed(service, options.customers)
        await on.start_apis("gateway", *(f"{service}-api" for service in SERVICES))
        gateway = Composer("gateway", on.port("gateway"), internal=False)
        await _composed(on, options.warming(), CLIENTS[0], gateway)
        why_not = nginx.missing()
        if why_not:
            yield [
                *(_row(on, options, clients, "360 by the gateway", gateway) for clients in CLIENTS),
                Row("360 by nginx", partial(_absent, why_not)),
            ]
            return
        server = await _nginx(on)
        other = await _gateway_over_stand_ins(on, server)
        rows = []
        for clients in CLIENTS:
            for where, gateway_there, port in (
                ("", gateway, server.port),
                (" over stand-ins", other, server.over_instant_port),
            ):
                ceiling = _row(
                    on, options, clients, f"360 by nginx{where}", Composer("nginx", port, internal=True)
                )
                rows += [
                    _row(on, options, clients, f"360 by the gateway{where}", gateway_there, ceiling.name),
                    ceiling,
                ]
        yield rows


def _row(
    on: Stage, options: Options, clients: int, what: str, composer: Composer, ceiling: str | None = None
) -> Row:
    return Row(f"{what}, {clients} clients", partial(_composed, on, options, clients, composer), ceiling)


async def _composed(on: Stage, options: Options, clients: int, composer: Composer) -> Measure:
    token, dice = on.internal_token() if composer.internal else on.token(), Dice(options.customers)

    def ask() -> Asked:
        customer = str(dice.customer())
        return get(f"/v1/customers/{customer}/360", token, b'"customer_id":"%b"' % customer.encode())

    loaded = await closed_loop(
        composer.port,
        ask,
        clients=clients,
        seconds=options.seconds,
        well=lambda body: body.count(b'{"status":"ok","data":{') == _WHOLE,
        measured=[on.process(composer.process)],
    )
    return loaded.measure


async def _absent(why: str) -> Measure:
    return Measure.failed(why)


async def _nginx(on: Stage) -> Nginx:
    """Its stand-ins answer what the services do for the first customer."""
    summaries = {service: await on.summary(service, customer_id(1)) for service in SERVICES}
    server = Nginx(on.folder / "nginx", {service: on.plan.ports[service] for service in SERVICES}, summaries)
    await on.start([server.program()])
    return server


async def _gateway_over_stand_ins(on: Stage, server: Nginx) -> Composer:
    port, name = free_port(), "gateway-over-stand-ins"
    address = f"http://{HOST}:{server.instant_port}"
    await on.start([on.gateway(name, port, dict.fromkeys(SERVICES, address))])
    return Composer(name, port, internal=False)
