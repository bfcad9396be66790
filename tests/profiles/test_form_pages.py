"""The page of a form: what managers write stays text, and nothing is asked of other hosts."""

from html.parser import HTMLParser

import httpx2
from hypothesis import given
from hypothesis import strategies as st
from tests.profiles.sign_up import define

from crm_profiles.forms import form_page
from crm_profiles.schemas.forms import FieldType, ShownField, ShownFormOut


class Tags(HTMLParser):
    """The tags that a browser would see, with their attributes, and the text beside them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@given(st.text(alphabet="<>&\"'/ =abonerr!-`{}%", min_size=1, max_size=40))
def test_whatever_managers_write_stays_text(evil: str) -> None:
    field = {"label": evil, "help": evil, "required": True, "max_length": 9}
    choices = [{"value": evil, "label": evil}]
    shown = ShownFormOut.model_validate(
        {
            "key": "x",
            "version": 1,
            "language": "en",
            "title": evil,
            "description": evil,
            "open": True,
            "challenge": None,
            "fields": [
                ShownField.model_validate(field | {"key": f"k{n}", "type": type_, "choices": choices})
                for n, type_ in enumerate(FieldType)
            ],
        }
    )
    harmless = shown.model_copy(deep=True)
    for each in (harmless, *harmless.fields):
        for name in ("title", "description", "label", "help"):
            if hasattr(each, name):
                setattr(each, name, "x")
    for field_ in harmless.fields:
        field_.choices[0].value = field_.choices[0].label = "x"
    names = [
        [(tag, sorted(attrs)) for tag, attrs in Tags(form_page.render(form)).tags]
        for form in (shown, harmless)
    ]
    assert names[0] == names[1]


async def test_the_page_asks_no_other_host_and_runs_only_its_own_script(
    profiles: httpx2.AsyncClient, everybody: httpx2.AsyncClient
) -> None:
    await define(profiles)
    page = await everybody.get("/v1/forms/sign-up/page", headers={"Accept": "text/html"})
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'sha256-" in policy
    assert "unsafe" not in policy
    assert "http" not in page.text
    tags = Tags(page.text).tags
    labelled = {attrs.get("for") for tag, attrs in tags if tag == "label"}
    for tag, attrs in tags:
        if tag in ("input", "select", "textarea") and attrs.get("type") != "checkbox" and "id" in attrs:
            assert attrs["id"] in labelled
