"""What bodies of loyalty have in common."""

from typing import Annotated

from pydantic import Field, StringConstraints

from crm_shared.fields import whole

MAX_POINTS = 1_000_000_000


Points = Annotated[int, Field(strict=True, ge=1, le=MAX_POINTS, examples=[25]), whole]


Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=500, pattern=r"\S")]
