"""The demo as a user runs it: another process, its output, its exit code."""

import os
import subprocess
import sys

from crm_local.system import System


def run_demo(system: System, *options: str) -> str:
    """Run the demo as a user would; what it printed. It fails when its reconciliation does."""
    demo = start_demo(system, *options)
    output, _ = demo.communicate(timeout=300)
    assert demo.returncode == 0, output
    return output


def start_demo(system: System, *options: str) -> subprocess.Popen[str]:
    """The demo in the background."""
    return subprocess.Popen(
        [sys.executable, "-m", "crm_local", "demo", *options],
        env={**os.environ, "CRM_HOME": str(system.home.folder), "COLUMNS": "120"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
