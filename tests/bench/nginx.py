"""nginx with its Lua module, from Debian: the ceiling of composing, and stand-ins for services."""

import os
import shutil
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from crm_local.leash import leashed
from crm_local.ports import HOST, free_port
from crm_local.processes import Program, Stage

_PACKAGES = ("nginx", "libnginx-mod-http-lua")
_MODULES = Path("/usr/lib/nginx/modules")
_TEMPLATE = Path(__file__).with_name("nginx.conf")


def missing() -> str:
    """Why there is no nginx with Lua here, having tried to install it as root; empty: there is."""
    if _installed():
        return ""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return f"nginx with Lua is not installed: apt-get install {' '.join(_PACKAGES)}"
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "--yes", "--no-install-recommends", *_PACKAGES]):
        ended = subprocess.run(["apt-get", *command], env=environment, capture_output=True, text=True)
    return "" if _installed() else f"nginx with Lua cannot be installed: {ended.stderr.strip()[-200:]}"


def _installed() -> bool:
    return shutil.which("nginx") is not None and (_MODULES / "ngx_http_lua_module.so").exists()


class Nginx:
    """Composes over the given services on one port, over stand-ins of itself on another."""

    def __init__(self, folder: Path, services: Mapping[str, int], summaries: Mapping[str, str]) -> None:
        self.port, self.over_instant_port, self.instant_port = free_port(), free_port(), free_port()
        self._file = folder / "nginx.conf"
        words = {
            "MODULES": str(_MODULES),
            "FOLDER": str(folder),
            "REAL_PORT": str(self.port),
            "OVER_INSTANT_PORT": str(self.over_instant_port),
            **{f"{name.upper()}_SUMMARY": text for name, text in summaries.items()},
            **{f"{name.upper()}_PORT": str(port) for name, port in services.items()},
            "INSTANT_PORT": str(self.instant_port),
        }
        text = _TEMPLATE.read_text()
        for word, meaning in words.items():
            text = text.replace(word, meaning)
        folder.mkdir(parents=True, exist_ok=True)
        self._file.write_text(text)

    def program(self) -> Program:
        command = leashed(["nginx", "-p", str(self._file.parent), "-c", str(self._file)])
        return Program("nginx", lambda: command, self._why_not_yet, Stage.GATEWAY)

    def _why_not_yet(self) -> str | None:
        try:
            with socket.create_connection((HOST, self.port), timeout=1):
                return None
        except OSError as error:
            return str(error)
