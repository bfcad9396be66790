"""A small service of notes, with one route for each thing that can happen to a request."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Annotated, Literal
from uuid import UUID

import asyncpg
import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ForeignKey, func, select, text
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from crm_shared import customers, dead_letters, etags, idempotency
from crm_shared.callers import Role
from crm_shared.database import TYPES, Sessions, SharedBase, create_engine, create_sessions, new_metadata
from crm_shared.ids import uuid7
from crm_shared.problems import Conflict, NotFound
from crm_shared.settings import ServiceSettings
from crm_shared.testing import FrozenClock, Signer, reading
from crm_shared.web.app import service_app
from crm_shared.web.idempotency import requires_key
from crm_shared.web.problems import documented
from crm_shared.web.router import Router
from crm_shared.web.session import CurrentCaller, IfMatch, Session, allow, provide, public

STAFF = [allow(Role.AGENT)]
TABLES = (customers, dead_letters, idempotency)


class Base(DeclarativeBase):
    metadata = new_metadata()
    type_annotation_map = TYPES


class Note(Base):
    __tablename__ = "notes"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    text: Mapped[str]
    author: Mapped[str]
    version: Mapped[int] = mapped_column(default=1)
    parent_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("notes.id", deferrable=True, initially="DEFERRED")
    )


class NoteNotFound(NotFound): ...


class NoteSealed(Conflict): ...


class NoteLocked(Conflict): ...


class Red(BaseModel):
    model_config = ConfigDict(extra="forbid")

    kind: Literal["red"]
    shade: int


class Blue(BaseModel):
    kind: Literal["blue"]


class NoteIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: str = Field(max_length=1000)
    colours: list[Annotated[Red | Blue, Field(discriminator="kind")]] = []
    marks: dict[Annotated[str, Field(max_length=5)], int | list[int]] = {}
    tags: list[Annotated[str, Field(max_length=20)]] = Field(default=[], max_length=10)
    parent_id: UUID | None = None


class NoteOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: UUID
    text: str
    author: str
    version: int


class CountOut(BaseModel):
    notes: int


router = Router(tags=["notes"])


@router.post("/v1/notes", status_code=201, response_model=NoteOut, dependencies=STAFF)
async def create_note(session: Session, caller: CurrentCaller, body: NoteIn, response: Response) -> Note:
    """Write a note."""
    note = Note(text=body.text, author=caller.subject, parent_id=body.parent_id)
    session.add(note)
    await session.flush()
    response.headers["ETag"] = etags.etag(note.version)
    response.headers["Location"] = f"/v1/notes/{note.id}"
    return note


@router.get("/v1/notes", response_model=CountOut, dependencies=STAFF)
async def count_notes(
    session: Session, word: Annotated[list[str] | None, Query(max_length=5)] = None
) -> CountOut:
    statement = select(func.count()).select_from(Note)
    if word:
        statement = statement.where(Note.text.in_(word))
    return CountOut(notes=await session.scalar(statement) or 0)


@router.get(
    "/v1/notes/{note_id}", response_model=NoteOut, dependencies=STAFF, responses=documented(NoteNotFound)
)
async def get_note(session: Session, note_id: UUID, response: Response) -> Note:
    note = await session.get(Note, note_id)
    if note is None:
        raise NoteNotFound(note_id=str(note_id))
    response.headers["ETag"] = etags.etag(note.version)
    return note


@router.patch(
    "/v1/notes/{note_id}",
    response_model=NoteOut,
    dependencies=STAFF,
    responses=documented(NoteNotFound, NoteSealed, NoteLocked, etags.StaleVersion),
)
async def change_note(session: Session, note_id: UUID, body: NoteIn, if_match: IfMatch = None) -> Note:
    """Change a note.

    A sealed one stays as it is.
    """
    note = await session.get(Note, note_id, with_for_update=True)
    if note is None:
        raise NoteNotFound(note_id=str(note_id))
    etags.check(if_match, note.version)
    if note.text == "sealed":
        raise NoteSealed
    note.text = body.text
    note.version += 1
    return note


@router.post("/v1/notes/{note_id}/pay", response_model=NoteOut, dependencies=[*STAFF, requires_key])
async def pay_note(session: Session, note_id: UUID) -> Note:
    return await get_note(session, note_id, Response())


@router.get(
    "/v1/customers/{customer_id}/notes",
    response_model=CountOut,
    dependencies=[allow(Role.AGENT, Role.CUSTOMER, own="customer_id")],
)
async def count_notes_of_customer(session: Session, customer_id: UUID) -> CountOut:
    return CountOut(notes=0)


@router.get("/v1/notes/by-name/{name}", response_model=CountOut, dependencies=STAFF)
async def count_notes_by_name(session: Session, name: Annotated[str, Path(max_length=50)]) -> CountOut:
    return CountOut(notes=await session.scalar(select(func.count()).where(Note.text == name)) or 0)


@router.get("/v1/open", response_model=CountOut, dependencies=[public()])
async def count_nothing() -> CountOut:
    return CountOut(notes=0)


@router.get("/v1/broken", response_model=CountOut, dependencies=[public()])
async def count_broken() -> CountOut:
    raise KeyError("a secret in an exception")


@router.get("/v1/slow", response_model=CountOut, dependencies=[public()])
async def count_slowly() -> CountOut:
    await asyncio.sleep(30)
    return CountOut(notes=0)


@router.get("/v1/stuck", response_model=CountOut, dependencies=STAFF)
async def count_stuck(session: Session) -> CountOut:
    await session.execute(text("SELECT pg_sleep(30)"))
    return CountOut(notes=0)


@router.get("/v1/writing", response_model=CountOut, dependencies=STAFF)
async def count_and_write(session: Session) -> CountOut:
    session.add(Note(text="written while reading", author="a GET"))
    await session.flush()
    return CountOut(notes=1)


@router.get("/v1/overflow", response_model=CountOut, dependencies=STAFF)
async def count_overflow(session: Session, by: int) -> CountOut:
    return CountOut(notes=await session.scalar(select(func.count()).where(Note.version == by)) or 0)


@pytest.fixture(scope="session")
def web_signer() -> Signer:
    return Signer()


@pytest_asyncio.fixture(scope="session")
async def web_settings(postgres_url: str, web_signer: Signer) -> ServiceSettings:
    connection = await asyncpg.connect(postgres_url)
    await connection.execute("CREATE DATABASE web")
    await connection.close()
    return ServiceSettings(
        service="notes",
        database_url=postgres_url.rsplit("/", 1)[0] + "/web",
        statement_timeout=0.5,
        pool_size=10,
        kafka_bootstrap_servers="127.0.0.1:1",
        internal_public_key=web_signer.public_key,
        cursor_secret="cursors of the tests, thirty-two bytes and more",
    )


@pytest_asyncio.fixture(scope="session")
async def web_engine(web_settings: ServiceSettings) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(web_settings)
    async with engine.begin() as connection:
        await connection.run_sync(SharedBase.metadata.create_all)
        await connection.run_sync(Base.metadata.create_all)
    yield engine
    await engine.dispose()


@pytest_asyncio.fixture
async def sessions(web_engine: AsyncEngine) -> AsyncIterator[Sessions]:
    """Sessions that really commit; the tables are emptied afterwards."""
    yield create_sessions(web_engine)
    names = [table.name for base in (Base, SharedBase) for table in base.metadata.sorted_tables]
    async with web_engine.begin() as connection:
        await connection.execute(text(f"TRUNCATE {', '.join(names)} CASCADE"))


@pytest.fixture
def notes_clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture
def app(web_settings: ServiceSettings, notes_clock: FrozenClock, sessions: Sessions) -> FastAPI:
    made = service_app(web_settings, router, clock=notes_clock)
    provide(made, sessions, reading(sessions))
    return made


CallAs = Callable[..., httpx2.AsyncClient]


@pytest_asyncio.fixture
async def call_as(app: FastAPI, web_signer: Signer, notes_clock: FrozenClock) -> AsyncIterator[CallAs]:
    """`call_as(Role.AGENT)` is a client with a token; `call_as()` one without."""
    async with AsyncExitStack() as stack:

        def make(*roles: Role, subject: str = "alice", customer_id: UUID | None = None) -> httpx2.AsyncClient:
            headers = {}
            if roles:
                token = web_signer.token(
                    roles, at=notes_clock.now(), subject=subject, customer_id=customer_id
                )
                headers["Authorization"] = f"Bearer {token}"
            client = httpx2.AsyncClient(
                transport=httpx2.ASGITransport(app), base_url="http://notes", headers=headers
            )
            stack.push_async_callback(client.aclose)
            return client

        yield make


@pytest.fixture
def agent(call_as: CallAs) -> httpx2.AsyncClient:
    return call_as(Role.AGENT)
