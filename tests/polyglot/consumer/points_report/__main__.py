"""Reads the topics, validates every record and keeps the report. Prints a summary as JSON when it ends."""

import argparse
import json
import logging
import os
import signal
import sys
from collections import Counter
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, KafkaException, Message

from points_report.contract import Contract, InvalidRecord, Record
from points_report.store import Store

BATCH = 500
POLL_SECONDS = 0.5
TOPICS = ("member", "message", "point")


def settings() -> argparse.Namespace:
    def setting(name: str, variable: str, default: str, text: str) -> None:
        parser.add_argument(name, default=os.environ.get(variable) or default, help=f"{text} [{variable}]")

    parser = argparse.ArgumentParser(prog="points_report", description=__doc__)
    setting("--brokers", "KAFKA_BROKERS", "localhost:9092", "brokers to start from")
    setting("--topic-prefix", "TOPIC_PREFIX", "mileage", "what topic names begin with")
    setting("--group", "CONSUMER_GROUP", "", "consumer group; <topic prefix>.points-report by default")
    setting("--contract", "CONTRACT", "shared-events/asyncapi.yaml", "the AsyncAPI document; schemas/ is beside it")
    setting("--database", "REPORT_DATABASE", "points-report.sqlite", "where the report is kept")
    parser.add_argument("--until-end", action="store_true", help="end when everything is read; 1 when some is invalid")
    chosen = parser.parse_args()
    chosen.group = chosen.group or f"{chosen.topic_prefix}.points-report"
    return chosen


class Reader:
    """Reads batches: first the store commits, then Kafka. What is read again after a failure has no effect."""

    def __init__(self, chosen: argparse.Namespace) -> None:
        self._contract = Contract(Path(chosen.contract))
        self._store = Store(chosen.database)
        self._consumer = Consumer(
            {
                "bootstrap.servers": chosen.brokers,
                "group.id": chosen.group,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
            }
        )
        self._unread: set[tuple[str, int]] | None = None
        self._stopping = False
        self.seen: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()
        self.invalid: list[dict[str, int | str]] = []
        topics = [f"{chosen.topic_prefix}.{topic}" for topic in TOPICS]
        self._consumer.subscribe(topics, on_assign=self._assigned)

    def _assigned(self, _: Consumer, partitions: list) -> None:
        self._unread = {(partition.topic, partition.partition) for partition in partitions}

    def stop(self, *_: object) -> None:
        self._stopping = True

    def run(self, until_end: bool) -> None:
        try:
            while not self._stopping and not (until_end and self._unread == set()):
                messages = self._consumer.consume(BATCH, POLL_SECONDS)
                records = [message for message in messages if not self._is_notice(message)]
                if records:
                    with self._store.transaction():
                        for message in records:
                            self._take(message)
                    self._commit()
        finally:
            self._consumer.close()

    def _commit(self) -> None:
        try:
            self._consumer.commit(asynchronous=False)
        except KafkaException as error:
            logging.warning("offsets were not committed: %s; what is read again has no effect", error)

    def _is_notice(self, message: Message) -> bool:
        error = message.error()
        if error is None:
            return False
        if error.code() == KafkaError._PARTITION_EOF:
            if self._unread is not None:
                self._unread.discard((message.topic(), message.partition()))
        elif error.fatal():
            raise KafkaException(error)
        else:
            logging.warning("Kafka: %s; the client tries again", error)
        return True

    def _take(self, message: Message) -> None:
        record = Record(message.topic(), message.key(), message.headers() or [], message.value())
        try:
            event = self._contract.read(record)
        except InvalidRecord as invalid:
            place = (message.topic(), message.partition(), message.offset())
            logging.warning("invalid record at %s/%s/%s: %s", *place, invalid)
            self._store.set_aside(*place, str(invalid))
            self.invalid.append(dict(zip(("topic", "partition", "offset"), place)) | {"reason": str(invalid)})
            return
        if self._contract.knows(event.get_type()):
            self.seen[event.get_type()] += 1
            self._store.apply(event)
        else:
            self.unknown[event.get_type()] += 1

    def summary(self) -> dict[str, object]:
        return {
            "seen": self.seen,
            "unknown": self.unknown,
            "invalid": self.invalid,
            "report": self._store.report(),
        }


def main() -> int:
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    chosen = settings()
    reader = Reader(chosen)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, reader.stop)
    reader.run(chosen.until_end)
    print(json.dumps(reader.summary()))
    return 1 if chosen.until_end and reader.invalid else 0


if __name__ == "__main__":
    sys.exit(main())
