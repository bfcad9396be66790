"""Who belongs to segments, as rules and audiences are written."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from crm_loyalty.rules.segments import Segments
from crm_loyalty.schemas.base import Key
from crm_shared.fields import fault_at

Keys = Annotated[list[Key], Field(max_length=50)]


class SegmentsIn(BaseModel):
    """In one of `any_of`, unless it is empty, and in none of `none_of`.

    Who is in one is told by `segmentation.membership.entered` and `left`; who is told of in none is in none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    any_of: Keys = []
    none_of: Keys = []

    def condition(self) -> Segments:
        return Segments(frozenset(self.any_of), frozenset(self.none_of))


def require_somebody(segments: SegmentsIn, *, at: tuple[str, ...]) -> None:
    """Refuse segments that leave nobody: for validators of the body that has them there."""
    if not segments.condition().can_hold:
        error = PydanticCustomError("nobody_meant", "Who is in one of these is in one of none_of")
        raise fault_at((*at, "any_of"), error, segments.any_of)
