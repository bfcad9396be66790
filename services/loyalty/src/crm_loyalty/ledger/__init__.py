"""The points ledger: accounts, lots, holds, and the one way in which points move."""
