"""Connections to the broker: none is left open, whenever a client is given up."""

import asyncio
import gc
import warnings

from crm_shared.messaging import topics

from .conftest import ServiceFactory


async def test_a_client_that_is_given_up_while_it_connects_closes_what_it_opened(
    service: ServiceFactory,
) -> None:
    settings = (await service()).settings

    async def look() -> None:
        async with topics.admin(settings) as admin:
            await admin.cluster_id()

    cut_short = 0
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", ResourceWarning)
        for moment in range(60):
            looking = asyncio.create_task(look())
            await asyncio.sleep(moment * 0.0002)
            cut_short += looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
            del looking
        gc.collect()

    assert cut_short > 10, "the moments reach from the first step to the last"
    assert [str(each.message) for each in found] == []
