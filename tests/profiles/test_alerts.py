"""Alert rules: they watch figures that there are."""

import re
from collections.abc import Callable
from pathlib import Path

from fastapi import FastAPI

from crm_profiles.worker import figures

ALERTS = Path(__file__).parents[2] / "deploy" / "alerts"


def test_the_alerts_on_privacy_watch_the_figures_of_the_worker(apps: Callable[[str], FastAPI]) -> None:
    shown = {figure.name for figure in figures(apps("profiles").state.settings)}
    rules = (ALERTS / "privacy.yaml").read_text()
    watched = set(re.findall(r"privacy_\w+", " ".join(re.findall(r"^ +expr: (.+)$", rules, re.MULTILINE))))
    assert watched == shown
