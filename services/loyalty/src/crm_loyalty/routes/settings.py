"""What routes of loyalty ask for beside what those of all services do: its own settings."""

from typing import Annotated

from fastapi import Depends, Request

from crm_loyalty.settings import Settings


async def get_own_settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


CurrentSettings = Annotated[Settings, Depends(get_own_settings)]
