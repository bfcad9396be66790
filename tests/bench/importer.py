"""The importing process: what the worker of profiles does with its jobs, until there is none left."""

import json
import resource

import uvloop

from crm_profiles.handlers import jobs_of
from crm_profiles.settings import Settings
from crm_shared.clock import SystemClock
from crm_shared.database import create_engine, create_sessions
from crm_shared.jobs import run
from crm_shared.memory import collect_seldom


async def main() -> None:
    collect_seldom()
    settings = Settings()
    engine = create_engine(settings)
    jobs = jobs_of(settings)
    while await run(create_sessions(engine), jobs, SystemClock()):
        pass
    await engine.dispose()
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"cpu": used.ru_utime + used.ru_stime, "peak": used.ru_maxrss / 1024}))


if __name__ == "__main__":
    uvloop.run(main())
