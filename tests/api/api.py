"""Something that serves an OpenAPI document, and how to sign in to it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from tests.gateway.conftest import Issuer

from crm_shared.callers import STAFF, Role, Scope
from crm_shared.database import Sessions
from crm_shared.testing import Signer

APIS = ("profiles", "segmentation", "tickets", "loyalty")


@dataclass(frozen=True)
class Api:
    """A service or the gateway, as the tests of its document reach it."""

    name: str
    url: str
    document: Mapping[str, Any]
    signer: Signer
    issuer: Issuer
    sessions: Sessions

    def bearer(
        self,
        *roles: Role,
        customer_id: UUID | None = None,
        pii: bool = True,
        subject: str = "tester",
    ) -> dict[str, str]:
        """Headers of a caller with these roles, by default all of the staff's."""
        scopes = [Scope.PII_READ] if pii else []
        if self.name == "gateway":
            token = self.issuer.token(
                sub=subject,
                roles=[role.value for role in roles or STAFF],
                scope=" ".join(scopes),
                customer_id=str(customer_id) if customer_id else None,
            )
        else:
            token = self.signer.token(
                roles or STAFF,
                at=self.issuer.clock.now(),
                subject=subject,
                customer_id=customer_id,
                scopes=scopes,
            )
        return {"Authorization": f"Bearer {token}"}
