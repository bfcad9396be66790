"""Links to unsubscribe as they are answered."""

from pydantic import BaseModel, Field

from crm_shared.permissions import ContactChannel


class UnsubscribeLinkOut(BaseModel):
    """What a message to the customer carries so that they can withdraw from such messages."""

    path: str = Field(
        max_length=300,
        description="behind this API's address; the message's `List-Unsubscribe` is the whole in < and >",
    )
    list_unsubscribe_post: str = Field(
        max_length=100, description="the message's header `List-Unsubscribe-Post`"
    )


class UnsubscriptionOut(BaseModel):
    """From which messages somebody withdraws; not who they are."""

    purpose: str = Field(max_length=32)
    channel: ContactChannel
    withdrawn: bool = Field(description="false: nothing was changed, POST to the same address does that")
