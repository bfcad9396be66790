"""What can be wrong with a request to profiles."""

from collections.abc import Sequence

from crm_shared.problems import (
    BadRequest,
    Conflict,
    Fault,
    Forbidden,
    Gone,
    InvalidRequest,
    NotFound,
    TooManyRequests,
    Unprocessable,
)


class ContactPointTaken(Conflict):
    """It belongs to another customer, whom `customer_id` names to callers with the scope pii:read."""

    personal = frozenset({"customer_id"})


class InvalidContactPoint(InvalidRequest):
    """No phone number, e-mail address or account name can be read from it."""


class ContactPointNotFound(NotFound):
    """The customer has no such contact point."""


class ExternalIdTaken(Conflict):
    """It names another customer, whom `customer_id` names."""


class NoLunarDate(InvalidRequest):
    """The birthday is kept in the lunar calendar, and that calendar is not known for the year."""


class InvalidAttributes(InvalidRequest):
    """A custom attribute is not declared, or its value does not fit the declaration."""


class AttributeNotFound(NotFound): ...


class AttributeInUse(Conflict):
    """Customers have values that would not fit any more; `customers` says how many."""


class TooManyAttributes(Conflict): ...


class LimitReached(Conflict):
    """The customer has as many of these as can be; `limit` says how many."""


class RepeatedItem(BadRequest):
    """One batch can change a customer only once."""


class PurchaseNotFound(NotFound): ...


class PurchaseDiffers(Conflict):
    """This external id already stands for a purchase with another content."""


class RefundDiffers(Conflict):
    """This external id already stands for a refund with another content."""


class RefundExceedsPurchase(Conflict):
    """More than is left of a line: `line` says of which, `left` how much."""


class NothingLeftToRefund(Conflict):
    """All of the purchase was given back already."""


class TooManyRefunds(Conflict):
    """So many times nothing is given back: tell of several pieces at once."""


class InteractionNotFound(NotFound): ...


class InteractionDiffers(Conflict):
    """This external id already stands for an interaction with another content."""


class NoteNotFound(NotFound): ...


class TooManyPreferences(Conflict):
    """Withdraw one before another is kept."""


class ErasureNotFound(NotFound): ...


class PersonSuppressed(Conflict):
    """It would bring back somebody who was erased, which only they themselves may do."""

    def __init__(
        self,
        detail: str = "This person was erased: they may come back themselves, not in bulk.",
        *,
        errors: Sequence[Fault] = (),
    ) -> None:
        super().__init__(detail, errors=errors)


class FileGone(Gone):
    """The file has been deleted: its time was up, or somebody in it was erased."""


class EmptyFile(Unprocessable): ...


class UnreadableFile(Unprocessable):
    """It is neither a text with columns nor a workbook."""


class UndecodableFile(Unprocessable):
    """Its bytes are no text in the encoding that it is to be read in."""


class OversizedSheet(Unprocessable):
    """Unpacked, the workbook is too big."""


class ImportNotFound(NotFound): ...


class ImportBusy(Conflict):
    """What was started last has not ended yet."""


class ImportNotReady(Conflict):
    """It cannot be started: its file is not inspected, cannot be read, or its columns are not mapped."""


class ImportDone(Conflict):
    """It has been done: upload the file anew to import it again."""


class NothingToRevert(Conflict):
    """Nothing has been imported, or it has been reverted."""


class InvalidMapping(InvalidRequest):
    """The mapping does not fit the file's columns."""


class ExportNotFound(NotFound): ...


class ArchiveExpired(Gone):
    """The archive was kept for some days only; ask for a new export."""


class PeriodInvalid(InvalidRequest):
    """A period has at least a day."""


class ExportNotReady(Conflict):
    """The file is still being made."""


class TooManyRows(Unprocessable):
    """There are more customers than a sheet has rows."""


class PurposeNotFound(NotFound):
    """The contact policy knows no such purpose."""


class StatementOutOfTime(InvalidRequest):
    """A statement is not made in the future, and ends after it begins."""


class UnsubscribeLinkInvalid(NotFound):
    """The link is not valid: perhaps a part of it was lost on its way."""


class MessageNotFound(NotFound): ...


class MessageDiffers(Conflict):
    """This external id already stands for another message."""


class PeriodEmpty(InvalidRequest):
    """A period begins before it ends."""


class MergeNotFound(NotFound): ...


class SameCustomer(Conflict):
    """Both ids mean one customer already, whom `customer_id` names: there is nothing to merge."""


class MergeAlreadyUndone(Conflict):
    """It was undone before, and is undone once."""


class LaterMergeFirst(Conflict):
    """`merge_id` names the merge that must be undone before this one."""


class DuplicateNotFound(NotFound): ...


class DuplicateSettled(Conflict):
    """The two were merged: there is nothing left to dismiss."""


class FormNotFound(NotFound): ...


class InvalidForm(InvalidRequest):
    """A field tells of an attribute, a purpose or a value that there is not."""


class FormClosed(Conflict):
    """The form takes no answers."""


class FormBusy(TooManyRequests):
    """Too many have submitted the form just now: try again in a moment."""


class InvalidAnswers(InvalidRequest):
    """The answers do not fit the form's questions."""


class ProofRefused(InvalidRequest):
    """The proof of work is missing, wrong or too late: read the form again and do the work anew."""


class ChallengeUsed(Conflict):
    """Somebody has submitted with this challenge: read the form again and do the work anew."""


class SubmissionDiffers(Conflict):
    """This id already stands for a submission with another content."""


class SubmissionNotFound(NotFound): ...


class NothingSuggested(Conflict):
    """There is nothing to decide, or it was decided."""


class PersonalDataHidden(Forbidden):
    """Whoever sees contact points masked does not learn them by asking whose they are, either."""


class TaskNotFound(NotFound): ...


class TaskDone(Conflict):
    """It was completed with another outcome, which `outcome` tells."""


class StillOnFile(Conflict):
    """It is not changed yet: change the customer first, then complete the task."""
