"""What the services hold besides the demo's data, so that the books can be compared with it in them."""

import json
from collections import Counter
from dataclasses import asdict, replace

from crm_local.cdnow import Figures
from crm_local.home import Home, write_private


class Others:
    """Everybody else's figures: found before the demo's first run, or written since its last one."""

    def __init__(self, home: Home) -> None:
        self._file = home.folder / "demo.json"
        self._kept = json.loads(self._file.read_text()) if self._file.exists() else None

    def of(self, found: Figures, files: Figures, refunded: Figures) -> Figures:
        """Theirs, when `found` is what was there before this run; the files' with and without the refunds.

        A run that did not come to its end has added some part of the files: theirs are those of before it.
        """
        if self._kept is None:
            others = found
        elif self._kept["ended"]:
            others = found - (refunded if self._kept["refunded"] else files)
        else:
            others = Figures(**self._kept["others"])
        self._keep(others, ended=False, refunded=False)
        return others

    def ended(self, others: Figures, *, refunded: bool) -> None:
        """A run has come to its end: all that changes from now on is somebody else's doing."""
        self._keep(others, ended=True, refunded=refunded)

    def _keep(self, others: Figures, *, ended: bool, refunded: bool) -> None:
        kept = {"others": asdict(others), "ended": ended, "refunded": refunded}
        write_private(self._file, json.dumps(kept))


def beside(files: Figures, others: Figures, services: Figures) -> Figures:
    """What the services should say: the files' figures and everybody else's.

    Which levels the others have is the services' to say, for it depends on the business day; how many
    they are is not.
    """
    levels = Counter(services.levels)
    levels.subtract(files.levels)
    accounted = min(levels.values(), default=0) >= 0 and levels.total() == others.customers
    return files + replace(others, levels=dict(levels) if accounted else {})
