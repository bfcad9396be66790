"""Proofs of work: asked for instead of a captcha, and each good once."""

from itertools import count
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.profiles.sign_up import ANSWERS, define, submit

from crm_profiles.errors import ProofRefused
from crm_profiles.forms import challenges
from crm_shared.testing import FrozenClock


def proof_of(challenge: dict[str, Any]) -> dict[str, Any]:
    token = challenge["token"]
    work = (str(n) for n in count())
    proof = next(text for text in work if challenges.zero_bits(f"{token}.{text}") >= challenge["difficulty"])
    return {"challenge": token, "proof": proof}


async def test_a_proof_of_work_is_asked_for_and_good_once(
    profiles: httpx2.AsyncClient, everybody: httpx2.AsyncClient, clock: FrozenClock
) -> None:
    await define(profiles, difficulty=6)
    await define(profiles, "other", difficulty=6)

    async def challenge(key: str = "sign-up") -> dict[str, Any]:
        found: dict[str, Any] = (await everybody.get(f"/v1/forms/{key}")).json()["challenge"]
        return found

    async def refusal(**more: Any) -> str:
        answer = await submit(everybody, ANSWERS, **more)
        assert answer.status_code == 422, answer.text
        return str(answer.json()["errors"][0]["code"])

    assert await refusal() == "challenge_missing"
    assert await refusal(challenge="nonsense", proof="1") == "challenge_invalid"
    assert await refusal(**proof_of(await challenge("other"))) == "challenge_invalid"
    fresh = await challenge()
    lazy = next(str(n) for n in count() if challenges.zero_bits(f"{fresh['token']}.{n}") < 6)
    assert await refusal(challenge=fresh["token"], proof=lazy) == "proof_invalid"
    done = proof_of(fresh)
    assert (await submit(everybody, ANSWERS, **done)).status_code == 202
    used = await submit(everybody, ANSWERS | {"name": "Other"}, **done)
    assert (used.status_code, used.json()["code"]) == (409, "challenge_used")
    late = proof_of(await challenge())
    clock.advance(challenges.LASTS)
    assert await refusal(**late) == "challenge_expired"


@given(st.text(max_size=200))
def test_no_text_passes_for_a_challenge(token: str) -> None:
    with pytest.raises(ProofRefused):
        challenges.check(token, "1", form_key="x", key=b"k" * 32, at=FrozenClock().now())
