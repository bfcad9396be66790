"""P10: a customer on one page, to read or to print."""

import httpx2
import pytest

pytestmark = pytest.mark.capability("P10")


async def test_the_card_is_json_for_programs_and_a_page_for_people(agent: httpx2.AsyncClient) -> None:
    customer = (await agent.post("/v1/customers", json={"name": "王小明"})).json()["id"]
    path = f"/v1/customers/{customer}/card"
    assert (await agent.get(path)).json()["customer"]["name"] == "王小明"
    page = await agent.get(path, headers={"Accept": "text/html", "Accept-Language": "zh"})
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "<h1>王小明</h1>" in page.text
    assert "客户卡片" in page.text
