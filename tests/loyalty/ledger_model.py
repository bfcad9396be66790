"""A plain model of the ledger: lots in a list, everything reckoned anew whenever it is asked."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

NEVER = datetime.max.replace(tzinfo=UTC)
PEOPLE = 3


@dataclass
class Lot:
    account: int
    expires_at: datetime
    earned_at: datetime
    number: int
    left: int
    maker: "Move | None" = None
    expired: int = 0

    @property
    def order(self) -> tuple[datetime, datetime, int]:
        return (self.expires_at, self.earned_at, self.number)

    @property
    def came_late(self) -> bool:
        """Whether it was over when it was made."""
        return self.expires_at <= self.earned_at


@dataclass
class Move:
    """Something that a reversal may undo."""

    who: int
    points: int
    lot: Lot | None = None
    taken: list[tuple[Lot, int]] = field(default_factory=list)
    passed: list[tuple[Lot, Lot]] = field(default_factory=list)
    """Of a transfer: the giver's lots, and what became of their parts."""
    undone: int = 0
    spared: int = 0


@dataclass
class Hold:
    who: int
    parts: dict[int, int]
    expires_at: datetime
    placed_at: datetime
    state: str = "open"


@dataclass
class Model:
    """Points as anybody would reckon them, one posting at a time."""

    forgiving: bool = False
    owner: list[int] = field(default_factory=lambda: list(range(PEOPLE)))
    lots: list[Lot] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)
    pool: set[int] = field(default_factory=set)
    """Under which ids people are members of the one pool that there is."""

    def members(self, who: int) -> set[int]:
        """Whose points are shared with this one's."""
        everybody = {self.owner[member] for member in self.pool}
        return everybody if self.owner[who] in everybody else {self.owner[who]}

    def shared(self, who: int, points: int, at: datetime) -> list[tuple[Lot, int]]:
        """So many points of the pool's lots, what expires first first; debts are each member's own."""
        room = {member: self.available(member) for member in self.members(who)}
        free = {account: self.free(account) for account in range(PEOPLE)}
        found = []
        for lot in sorted(self.lots, key=lambda lot: lot.order):
            part = min(points, lot.left, free[lot.account], room.get(self.owner[lot.account], 0))
            if part > 0 and lot.expires_at > at:
                points -= part
                free[lot.account] -= part
                room[self.owner[lot.account]] -= part
                found.append((lot, part))
        assert points == 0
        return found

    def spendable(self, who: int) -> int:
        return sum(self.available(member) for member in self.members(who))

    def owned(self, who: int) -> list[int]:
        return [account for account in range(PEOPLE) if self.owner[account] == self.owner[who]]

    def balance(self, who: int) -> int:
        return sum(lot.left for lot in self.lots if lot.account in self.owned(who))

    def held(self, account: int) -> int:
        return sum(hold.parts.get(account, 0) for hold in self.holds if hold.state == "open")

    def free(self, account: int) -> int:
        points = sum(lot.left for lot in self.lots if lot.account == account and lot.left > 0)
        return points - self.held(account)

    def owed(self, who: int) -> int:
        return -sum(lot.left for lot in self.lots if lot.account in self.owned(who) and lot.left < 0)

    def available(self, who: int) -> int:
        return max(sum(self.free(account) for account in self.owned(who)) - self.owed(who), 0)

    def give(self, who: int, points: int, expires_at: datetime, at: datetime) -> Move:
        lot = Lot(who, expires_at, at, len(self.lots), points)
        self.lots.append(lot)
        return Move(who, points, lot=lot)

    def spend(self, who: int, points: int, at: datetime) -> Move | str:
        if points > self.spendable(who):
            return "insufficient_points"
        taken = self.shared(who, points, at)
        for lot, part in taken:
            lot.left -= part
        return Move(who, points, taken=taken)

    def put_right(self, who: int, points: int, at: datetime) -> Move | str:
        if points > self.available(who):
            return "insufficient_points"
        limits = {account: self.free(account) for account in self.owned(who)}
        return Move(who, points, taken=self.take(limits, points, at))

    def transfer(self, who: int, to: int, points: int, at: datetime) -> Move | str:
        if points > self.available(who):
            return "insufficient_points"
        if self.owner[who] == self.owner[to]:
            return "transfer_to_self"
        move = Move(who, points)
        for lot, part in self.take({account: self.free(account) for account in self.owned(who)}, points, at):
            got = Lot(to, lot.expires_at, lot.earned_at, len(self.lots), part)
            self.lots.append(got)
            move.passed.append((lot, got))
        return move

    def send_back(self, move: Move, points: int, at: datetime) -> str:
        to = move.passed[0][1].account
        self.end_lots(to, at)
        missing = points = min(points, self.free(to))
        for origin, got in sorted(move.passed, key=lambda pair: pair[1].order, reverse=True):
            part = min(missing, got.left)
            got.left -= part
            origin.left += part
            missing -= part
        move.undone += points - missing
        return "done" if points > missing else "nothing_to_reverse"

    def take(self, limits: dict[int, int], points: int, since: datetime) -> list[tuple[Lot, int]]:
        taken = []
        for lot in sorted(self.lots, key=lambda lot: lot.order):
            part = min(points, lot.left, limits.get(lot.account, 0))
            if part > 0 and lot.expires_at > since:
                lot.left -= part
                limits[lot.account] -= part
                points -= part
                taken.append((lot, part))
        assert points == 0
        return taken

    def end_lots(self, who: int, at: datetime) -> None:
        """What is over pays debts, and expires if nobody has reserved it in time."""
        owned = self.owned(who)
        over = [lot for lot in self.lots if lot.account in owned and lot.left > 0 and lot.expires_at <= at]
        for lot in sorted(over, key=lambda lot: lot.order):
            reserved = sum(
                hold.parts.get(lot.account, 0)
                for hold in self.holds
                if hold.state == "open" and hold.placed_at < lot.expires_at and not lot.came_late
            )
            before = [other for other in over if other.account == lot.account and other.order < lot.order]
            part = lot.left - min(max(reserved - sum(other.left for other in before), 0), lot.left)
            lot.left -= part
            lot.expired += part - self.settle(who, part)

    def settle(self, who: int, points: int) -> int:
        paid = 0
        debts = [lot for lot in self.lots if lot.account in self.owned(who) and lot.left < 0]
        for debt in sorted(debts, key=lambda lot: lot.order):
            part = min(points - paid, -debt.left)
            debt.left += part
            paid += part
        return paid

    def reverse(self, move: Move, who: int, total: int, at: datetime) -> str:
        if self.owner[move.who] != self.owner[who]:
            return "transaction_not_found"
        points = min(total, move.points) - move.undone
        if points <= 0:
            return "nothing_to_reverse"
        if move.passed:
            return self.send_back(move, points, at)
        move.undone += points
        if move.lot is None:
            for index, (lot, part) in reversed(list(enumerate(move.taken))):
                back = min(points, part)
                lot.left += back
                points -= back
                move.taken[index] = (lot, part - back)
            assert points == 0
            return "done"
        spared = min(points, move.lot.expired - move.spared)
        move.spared += spared
        points -= spared
        part = min(points, move.lot.left, self.free(move.who))
        move.lot.left -= part
        points -= part
        if self.forgiving:
            there = sum(self.free(account) for account in self.owned(who)) - self.owed(who)
            points = min(points, max(there, 0))
        if points:
            self.lots.append(Lot(move.who, NEVER, at, len(self.lots), -points))
        return "done"

    def hold(self, who: int, points: int, expires_at: datetime, at: datetime) -> str:
        if points > self.spendable(who):
            return "insufficient_points"
        parts: dict[int, int] = {}
        if any(self.owner[member] == self.owner[who] for member in self.pool):
            for lot, part in self.shared(who, points, at):
                parts[lot.account] = parts.get(lot.account, 0) + part
        else:
            for account in sorted(self.owned(who), key=lambda account: (account != who, account)):
                if part := min(points - sum(parts.values()), self.free(account)):
                    parts[account] = part
        self.holds.append(Hold(who, parts, expires_at, at))
        return "done"

    def resolve(self, hold: Hold, who: int, how: str, at: datetime) -> Move | str:
        if self.owner[hold.who] != self.owner[who]:
            return "hold_not_found"
        if hold.state == "ran out" or at >= hold.expires_at:
            return "hold_ran_out"
        if hold.state != "open":
            return "hold_resolved"
        hold.state = how
        if how == "capture":
            points = sum(hold.parts.values())
            return Move(who, points, taken=self.take(dict(hold.parts), points, hold.placed_at))
        return "done"

    def time_passes(self, at: datetime) -> None:
        for who in range(PEOPLE):
            self.end_lots(who, at)
        for hold in sorted(self.holds, key=lambda hold: hold.expires_at):
            if hold.state == "open" and at >= hold.expires_at:
                hold.state = "ran out"
                for who in range(PEOPLE):
                    self.end_lots(who, at)
