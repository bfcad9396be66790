"""What can be wrong with a request to profiles."""

from crm_shared.problems import BadRequest, Conflict, InvalidRequest, NotFound


class ContactPointTaken(Conflict):
    """It belongs to another customer, whom `customer_id` names."""


class InvalidContactPoint(InvalidRequest):
    """No phone number, e-mail address or account name can be read from it."""


class RepeatedItem(BadRequest):
    """One batch can change a customer only once."""


class PurchaseNotFound(NotFound): ...


class PurchaseDiffers(Conflict):
    """This external id already stands for a purchase with another content."""


class ErasureNotFound(NotFound): ...
