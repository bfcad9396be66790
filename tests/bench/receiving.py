"""The receiving worker: the consumer of loyalty with its inbox, and a handler that only notes what it got."""

import os
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession
from tests.bench.arrivals import Recorder

from crm_loyalty.settings import Settings
from crm_shared.contracts.profiles import PurchaseRecorded
from crm_shared.messaging import worker
from crm_shared.subscriptions import Subscriptions

ARRIVALS = "BENCH_ARRIVALS"
"""The variable that names the file of arrivals."""

subscriptions = Subscriptions()


def main() -> None:
    recorder = Recorder(os.environ[ARRIVALS])

    @subscriptions.on(PurchaseRecorded)
    async def note(session: AsyncSession, events: Sequence[PurchaseRecorded], *, at: datetime) -> None:
        numbers = [purchase.version for purchase in events]
        # Consumed is what is committed, not what a handler has seen.
        event.listen(session.sync_session, "after_commit", lambda _: recorder.note(numbers), once=True)

    worker.run(Settings(), subscriptions=subscriptions)


if __name__ == "__main__":
    main()
