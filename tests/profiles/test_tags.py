"""The tags that customers have, counted."""

import httpx2


async def test_tags_are_listed_with_how_many_have_them(profiles: httpx2.AsyncClient) -> None:
    for name, tags in (("Ann", ["vip", "Vip", "%"]), ("Ben", ["vip", "王"]), ("Cid", []), ("Dan", ["vi_p"])):
        assert (await profiles.post("/v1/customers", json={"name": name, "tags": tags})).status_code == 201
    gone = (await profiles.post("/v1/customers", json={"name": "Eve", "tags": ["gone"]})).json()["id"]
    assert (await profiles.delete(f"/v1/customers/{gone}/tags/gone")).status_code == 200

    everything = [("%", 1), ("Vip", 1), ("vi_p", 1), ("vip", 2), ("王", 1)]
    for prefix, expected in (
        ("", everything),
        ("vi", everything[2:4]),
        ("vi_", everything[2:3]),
        ("%", everything[:1]),
        ("x", []),
    ):
        found, cursor = [], None
        while True:
            params = {"limit": "2", "prefix": prefix} | ({"cursor": cursor} if cursor else {})
            page = (await profiles.get("/v1/customer-tags", params=params)).json()
            found += [(item["tag"], item["customers"]) for item in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert found == expected


async def test_a_cursor_of_other_tags_is_refused(profiles: httpx2.AsyncClient) -> None:
    await profiles.post("/v1/customers", json={"name": "Ann", "tags": ["a", "ab"]})
    cursor = (await profiles.get("/v1/customer-tags?limit=1&prefix=a")).json()["next_cursor"]
    assert (await profiles.get(f"/v1/customer-tags?cursor={cursor}")).status_code == 400
