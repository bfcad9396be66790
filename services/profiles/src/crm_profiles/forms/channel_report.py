"""The report on channels: by which ways customers become known and are kept up to date."""

from collections import defaultdict
from datetime import UTC, date, datetime, time

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles.models.customers import Channel
from crm_profiles.models.forms import SubmissionState
from crm_profiles.schemas.submissions import ChannelCountOut, ChannelsOut, FormCountOut

DEFINITION = (
    "Changes recorded in the period (days in UTC, the last one excluded) of customers who were not erased"
    " since, by the channel and the source of the change. `created` counts customers who became known,"
    " `changed` later changes; what merges, undone merges and the beginning of histories made is in neither."
    " Forms: submissions received in the period, by the form and by what has become of them until now;"
    " `submissions` leaves out those of programs (`trapped`)."
)

_CHANNELS = text(
    """
    SELECT channel, source, count(*) FILTER (WHERE change = 'created') AS created,
           count(*) FILTER (WHERE change = 'changed') AS changed
    FROM customer_versions
    WHERE recorded_at >= :begin AND recorded_at < :end AND change IN ('created', 'changed')
    GROUP BY channel, source ORDER BY channel, source NULLS FIRST
    """
)
_FORMS = text(
    """
    SELECT form_key, channel, state, count(*) AS submissions FROM form_submissions
    WHERE received_at >= :begin AND received_at < :end
    GROUP BY form_key, channel, state ORDER BY form_key, channel, state
    """
)


async def channels(session: AsyncSession, begin: date, end: date) -> ChannelsOut:
    """What became known in the period, by channel and source, and by form."""
    period = {"begin": datetime.combine(begin, time.min, UTC), "end": datetime.combine(end, time.min, UTC)}
    states: dict[tuple[str, Channel], dict[str, int]] = defaultdict(dict)
    for row in await session.execute(_FORMS, period):
        states[row.form_key, Channel(row.channel)][row.state] = row.submissions
    return ChannelsOut(
        definition=DEFINITION,
        begin=begin,
        end=end,
        channels=[
            ChannelCountOut(
                channel=Channel(row.channel), source=row.source, created=row.created, changed=row.changed
            )
            for row in await session.execute(_CHANNELS, period)
        ],
        forms=[
            FormCountOut(
                form_key=form_key,
                channel=channel,
                submissions=sum(counts.values()) - counts.get(SubmissionState.TRAPPED, 0),
                states=counts,
            )
            for (form_key, channel), counts in states.items()
        ],
    )
