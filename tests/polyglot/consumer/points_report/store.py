"""The projection. It keeps no personal data: nothing has to be erased when a member withdraws."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone

from cloudevents.core.base import BaseCloudEvent

KOREA = timezone(timedelta(hours=9))

# Which column of the report an event counts in, and how its amount changes the points that members have.
COLUMNS = {
    "PointsEarned": ("issued", 1),
    "PointsUsed": ("used", -1),
    "PointsRestored": ("restored", 1),
    "PointsAdjusted": ("adjusted", 1),
    "PointsExpired": ("expired", -1),
    "PointsForfeited": ("forfeited", -1),
}

SCHEMA = """
CREATE TABLE IF NOT EXISTS movement (
    member_id INTEGER NOT NULL,
    version INTEGER NOT NULL,
    day TEXT NOT NULL,
    type TEXT NOT NULL,
    amount INTEGER NOT NULL,
    PRIMARY KEY (member_id, version)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS invalid (
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (topic, partition, offset)
) WITHOUT ROWID;
"""


class Store:
    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.executescript(SCHEMA)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that a batch of records does, or none of it."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def apply(self, event: BaseCloudEvent) -> None:
        """Counts what changed a balance, once: the member and the version of the account tell repetitions apart."""
        if event.get_type() not in COLUMNS:
            return
        data = event.get_data()
        occurred_at = datetime.fromisoformat(data["occurredAt"].replace("Z", "+00:00"))
        day = occurred_at.astimezone(KOREA).date().isoformat()
        movement = (data["memberId"], int(event.get_extension("sequence")), day, event.get_type(), data["amount"])
        self._connection.execute("INSERT OR IGNORE INTO movement VALUES (?, ?, ?, ?, ?)", movement)

    def set_aside(self, topic: str, partition: int, offset: int, reason: str) -> None:
        """Remembers a record that breaks the contract, so that somebody looks at it while all else goes on."""
        row = (topic, partition, offset, reason)
        self._connection.execute("INSERT OR IGNORE INTO invalid VALUES (?, ?, ?, ?)", row)

    def report(self) -> list[dict[str, int | str]]:
        """Points by day in Korea, the oldest day first; `change` is that of all balances together."""
        days: dict[str, dict[str, int | str]] = {}
        rows = self._connection.execute("SELECT day, type, sum(amount) FROM movement GROUP BY day, type ORDER BY day")
        for day, event_type, amount in rows:
            columns = {"day": day} | {column: 0 for column, _ in COLUMNS.values()} | {"change": 0}
            line = days.setdefault(day, columns)
            column, sign = COLUMNS[event_type]
            line[column] += amount
            line["change"] += sign * amount
        return list(days.values())
