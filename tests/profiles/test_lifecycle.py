"""The rule of the life cycle, by itself."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_profiles.rules.lifecycle import PATH, Act, Fact, Policy, Stage, Standing, replay

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = Policy(1, {stage: timedelta(days=30) for stage in Stage if stage is not Stage.EXIT})


def on(day: float) -> datetime:
    return BEGIN + timedelta(days=day)


def lived(*acts: tuple[Act, float], until: float = 20) -> Standing:
    return replay([Fact(act, on(day)) for act, day in acts], POLICY, until=on(until))


def way(standing: Standing) -> list[tuple[Stage, float]]:
    return [(spell.stage, (spell.since - BEGIN) / timedelta(days=1)) for spell in standing.spells]


@pytest.mark.parametrize(
    ("acts", "expected"),
    [
        ([], []),
        ([(Act.BECAME_KNOWN, 0)], [(Stage.AWARENESS, 0)]),
        ([(Act.BECAME_KNOWN, 0), (Act.INTERACTED, 3)], [(Stage.AWARENESS, 0), (Stage.INTERACTION, 3)]),
        ([(Act.PURCHASED, 2)], [(Stage.AWARENESS, 2), (Stage.TRANSACTION, 2)]),
        (
            [(Act.PURCHASED, 2), (Act.INTERACTED, 3), (Act.PURCHASED, 4), (Act.PURCHASED, 5)],
            [(Stage.AWARENESS, 2), (Stage.TRANSACTION, 2), (Stage.MAINTENANCE, 4)],
        ),
        ([(Act.PURCHASED, 2), (Act.BECAME_KNOWN, 9)], [(Stage.AWARENESS, 2), (Stage.TRANSACTION, 2)]),
        ([(Act.BECAME_KNOWN, 0), (Act.LEFT, 1), (Act.LEFT, 2)], [(Stage.AWARENESS, 0), (Stage.EXIT, 1)]),
    ],
)
def test_what_somebody_does_leads_to_their_stages(
    acts: list[tuple[Act, float]], expected: list[tuple[Stage, float]]
) -> None:
    assert way(lived(*acts)) == expected


def test_silence_is_an_exit_at_its_very_instant() -> None:
    acts = (Act.PURCHASED, 0.0)
    assert lived(acts, until=30 - 1e-6).spells[-1].stage is Stage.TRANSACTION
    standing = lived(acts, until=30)
    assert way(standing)[-1] == (Stage.EXIT, 30)
    assert standing.spells[-1].reason == "silence"
    assert standing.silent_at is None


def test_who_comes_back_is_reactivated_and_then_kept_by_the_next_purchase() -> None:
    standing = lived((Act.PURCHASED, 0), (Act.INTERACTED, 40), (Act.PURCHASED, 41), until=50)
    stages = [Stage.AWARENESS, Stage.TRANSACTION, Stage.EXIT, Stage.REACTIVATION, Stage.MAINTENANCE]
    assert [spell.stage for spell in standing.spells] == stages
    assert way(standing)[2:] == [(Stage.EXIT, 30), (Stage.REACTIVATION, 40), (Stage.MAINTENANCE, 41)]


def test_what_is_told_of_beforehand_does_not_count_yet() -> None:
    standing = lived((Act.BECAME_KNOWN, 0), (Act.PURCHASED, 10), until=5)
    assert way(standing) == [(Stage.AWARENESS, 0)]
    assert standing.silent_at == on(10)


FACTS = st.lists(st.tuples(st.sampled_from(list(Act)), st.integers(0, 200)), min_size=1, max_size=20).map(
    lambda acts: [Fact(act, on(day)) for act, day in sorted(acts, key=lambda pair: pair[1])]
)


@given(FACTS, st.integers(0, 300))
def test_stages_follow_each_other_without_a_gap_and_never_repeat(facts: list[Fact], until: int) -> None:
    spells = replay(facts, POLICY, until=on(until)).spells
    assert all(a.since <= b.since and a.stage is not b.stage for a, b in pairwise(spells))
    assert all(spell.since <= on(until) for spell in spells)
    for a, b in pairwise(spells):
        assert (b.stage is Stage.REACTIVATION) == (a.stage is Stage.EXIT)
        if a.stage in PATH and b.stage in PATH:
            assert PATH.index(a.stage) < PATH.index(b.stage)


@given(FACTS, st.integers(0, 300), st.integers(0, 100))
def test_what_was_seen_earlier_is_still_true_later(facts: list[Fact], until: int, later: int) -> None:
    early = replay(facts, POLICY, until=on(until))
    assert replay(facts, POLICY, until=on(until + later)).spells[: len(early.spells)] == early.spells


@given(FACTS, st.integers(0, 300))
def test_nothing_changes_before_the_announced_instant(facts: list[Fact], until: int) -> None:
    seen = replay(facts, POLICY, until=on(until))
    if seen.silent_at is None:
        assert replay(facts, POLICY, until=on(10_000)).spells == seen.spells
    else:
        assert seen.silent_at > on(until)
        before = replay(facts, POLICY, until=seen.silent_at - timedelta(microseconds=1))
        assert before.spells == seen.spells
