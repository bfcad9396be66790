"""The API of segmentation."""

from fastapi import FastAPI

from crm_segmentation.routes import levels, rfm
from crm_segmentation.settings import Settings
from crm_shared.settings import ServiceSettings, from_environment
from crm_shared.web.app import service_app


def create_app(settings: ServiceSettings | None = None) -> FastAPI:
    return service_app(settings or from_environment(Settings), levels.router, rfm.router)
