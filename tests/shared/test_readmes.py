"""What the READMEs point to is there."""

import os
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
READMES = sorted(
    path.relative_to(ROOT)
    for pattern in ("README.md", "*/README.md", "*/*/README.md")
    for path in ROOT.glob(pattern)
    if not path.relative_to(ROOT).parts[0].startswith(".")
)
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#]*)(?:#([^)]*))?\)")
CODE = re.compile(r"`([^`\n]+)`")
FILE = re.compile(r"[\w.-]+(?:/[\w.-]+)*\.(?:py|md|toml|yaml|yml|json|sh|html|sql|ini)")
FOLDER = re.compile(r"(?:[\w-]+/)+")
MODULE = re.compile(r"crm_[a-z]+(?:\.[a-z_]+)+")
MADE_UP = {"models/visits.py", "activity/visits.py", "routes/visits.py", "schemas/visits.py"}
"""Of a service's README on how to add something."""


def anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@cache
def everything() -> Sequence[str]:
    """The paths of all that the project has, each with a slash before it, and folders with one behind."""
    found = []
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if not name.startswith(".") and name != "__pycache__"]
        within = f"/{Path(folder).relative_to(ROOT)}/".replace("/./", "/")
        found += [within, *(within + name for name in files)]
    return found


def exists(path: str) -> bool:
    """Whether something in the project has such an end of a path; modules are also named by their dots."""
    return any(each.endswith(f"/{path}") for each in everything())


def is_module(name: str) -> bool:
    """Whether there is such a module, or the one that it is an attribute of."""
    path, parent = name.replace(".", "/"), name.rpartition(".")[0].replace(".", "/")
    return any(
        exists(f"src/{each}") for each in (f"{path}.py", f"{path}/", f"{parent}.py", f"{parent}/__init__.py")
    )


@pytest.mark.parametrize("readme", READMES, ids=str)
def test_every_link_leads_somewhere(readme: Path) -> None:
    text = (ROOT / readme).read_text()
    for target, anchor in LINK.findall(text):
        there = (ROOT / readme).parent / target if target else ROOT / readme
        assert there.exists(), target
        assert not anchor or anchor in anchors(there.read_text()), f"{target}#{anchor}"


@pytest.mark.parametrize("readme", READMES, ids=str)
def test_every_file_folder_and_module_that_is_named_is_there(readme: Path) -> None:
    named = set(CODE.findall((ROOT / readme).read_text())) - MADE_UP
    paths = {each for each in named if FILE.fullmatch(each) or FOLDER.fullmatch(each)}
    assert {each for each in paths if not exists(each)} == set()
    assert {each for each in named if MODULE.fullmatch(each) and not is_module(each)} == set()
