"""What refunds take back and give back, whatever the portions: values in, values out."""

from hypothesis import given
from hypothesis import strategies as st

from crm_loyalty.rules.earning import Line
from crm_loyalty.rules.refunds import BoughtLine, EarnedLine, earned_by_line, kept, restored

LINES = st.lists(
    st.tuples(st.integers(0, 10_000), st.integers(1, 9), st.integers(0, 500)), min_size=1, max_size=6
)


@given(amounts=st.lists(st.integers(0, 10_000), min_size=1, max_size=8), points=st.integers(0, 5_000))
def test_what_a_rule_gave_for_the_whole_is_split_over_the_lines_without_a_rest(
    amounts: list[int], points: int
) -> None:
    bought = [BoughtLine(number, amount, 1) for number, amount in enumerate(amounts, 1)]

    lines = earned_by_line(bought, [Line("base", 1, points, ""), Line("extra", 1, 7, "", line=1)])

    assert sum(line.points for line in lines) == points + 7
    if sum(amounts):
        exact = [points * amount / sum(amounts) for amount in amounts]
        parts = [line.points - (7 if line.line == 1 else 0) for line in lines]
        assert all(abs(part - share) < 1 for part, share in zip(parts, exact, strict=True))


@given(lines=LINES, cuts=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3_000)), max_size=20))
def test_whatever_the_portions_no_more_is_taken_back_than_was_earned_and_all_of_it_in_the_end(
    lines: list[tuple[int, int, int]], cuts: list[tuple[int, int]]
) -> None:
    earned = [EarnedLine(n, amount, pieces, points) for n, (amount, pieces, points) in enumerate(lines)]
    back = [0] * len(earned)
    before = sum(line.points for line in earned)
    for index, portion in cuts:
        line = earned[index % len(earned)]
        whole = line.amount or line.quantity
        back[line.line] = min(back[line.line] + portion, whole)
        left = sum(kept(each, back[each.line], back[each.line]) for each in earned)
        assert 0 <= left <= before
        before = left
    assert sum(kept(each, each.amount, each.quantity) for each in earned) == 0


@given(points=st.integers(0, 1_000), total=st.integers(0, 5_000), cuts=st.lists(st.integers(0, 2_000)))
def test_what_was_paid_with_comes_back_in_proportion_and_whole_in_the_end(
    points: int, total: int, cuts: list[int]
) -> None:
    refunded, before = 0, 0
    for cut in cuts:
        refunded = min(refunded + cut, total)
        now = restored(points, refunded, total, all_=refunded == total)
        assert before <= now <= points
        before = now
    assert restored(points, total, total, all_=True) == points
