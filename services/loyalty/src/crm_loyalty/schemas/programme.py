"""The programme as a whole, as it is answered."""

from pydantic import BaseModel


class FigureOut(BaseModel):
    """A number and what it counts."""

    value: int
    definition: str


class ProgrammeOut(BaseModel):
    """The programme in figures."""

    accounts: FigureOut
    issued: FigureOut
    redeemed: FigureOut
    adjusted: FigureOut
    expired: FigureOut
    reversed: FigureOut
    forgiven: FigureOut
    owed: FigureOut
    outstanding: FigureOut
    held: FigureOut
