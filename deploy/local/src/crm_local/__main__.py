"""The command line: `python -m crm_local up`, and what goes with it."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

_COMMANDS = {
    "up": ("crm_local.up:main", "start everything and keep it running until Ctrl-C"),
    "down": ("crm_local.commands:down", "stop a system that runs in another terminal; data stay"),
    "reset": ("crm_local.commands:reset", "forget all data and secrets"),
    "status": ("crm_local.commands:status", "show what runs and in which state"),
    "token": ("crm_local.commands:token", "print a token for a role"),
    "demo": ("crm_local.demo:main", "load a company's customers and purchases, and check the sums"),
}


def main(arguments: Sequence[str]) -> int:
    """Hand over to the command's function; only its module is loaded: none waits for what another needs."""
    parser = argparse.ArgumentParser(prog="python -m crm_local", description="Runs the whole system.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, (_, purpose) in _COMMANDS.items():
        commands.add_parser(name, help=purpose, add_help=False)
    where, _ = _COMMANDS[parser.parse_args(arguments[:1]).command]
    module, _, function = where.partition(":")
    return int(getattr(import_module(module), function)(arguments[1:]) or 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
