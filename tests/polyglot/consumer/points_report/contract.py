"""Whether a record is what the contract says: the AsyncAPI document and the schemas beside it."""

from dataclasses import dataclass
from pathlib import Path

import yaml
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary_event
from cloudevents.core.exceptions import CloudEventValidationError
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012


class InvalidRecord(Exception):
    """A record breaks the contract. Says where; quotes no value, for it may be personal data."""


@dataclass(frozen=True)
class Record:
    """A record as it is on a topic."""

    topic: str
    key: bytes | None
    headers: list[tuple[str, bytes]]
    value: bytes | None


class Contract:
    """The events that the AsyncAPI document describes."""

    def __init__(self, document: Path) -> None:
        text = yaml.safe_load(document.read_text(encoding="utf-8"))
        folder = document.parent

        def load(reference: str) -> Resource:
            content = yaml.safe_load((folder / reference).read_text(encoding="utf-8"))
            return Resource(contents=content, specification=DRAFT202012)

        registry = Registry(retrieve=load)

        def validator(event_type: str, part: str) -> Draft202012Validator:
            pointer = f"{document.name}#/components/messages/{event_type}/{part}"
            formats = Draft202012Validator.FORMAT_CHECKER
            return Draft202012Validator({"$ref": pointer}, registry=registry, format_checker=formats)

        self._validators = {
            event_type: (validator(event_type, "headers"), validator(event_type, "payload"))
            for event_type in text["components"]["messages"]
        }
        self._headers = Draft202012Validator(
            {"$ref": f"{document.name}#/components/schemas/Headers"},
            registry=registry,
            format_checker=Draft202012Validator.FORMAT_CHECKER,
        )
        self._topics = {
            event_type: channel["address"].rpartition(".")[2]
            for channel in text["channels"].values()
            for event_type in channel["messages"]
        }

    def knows(self, event_type: str) -> bool:
        """Whether the contract describes this type. What it does not is to be ignored and counted."""
        return event_type in self._validators

    def read(self, record: Record) -> BaseCloudEvent:
        """The event that a record carries.

        Raises InvalidRecord when it is not as the contract says.
        """
        headers = _headers(record)
        _check(self._headers, headers, "header")
        event_type = headers["ce_type"]
        if self.knows(event_type):
            of_headers, of_payload = self._validators[event_type]
            _check(of_headers, headers, "header")
        event = _cloud_event(record)
        if record.key is None or {headers["ce_subject"], headers["ce_partitionkey"]} != {_text(record.key)}:
            raise InvalidRecord("key, ce_subject and ce_partitionkey differ")
        if self.knows(event_type):
            if record.topic.rpartition(".")[2] != self._topics[event_type]:
                raise InvalidRecord(f"{event_type} is not an event of this topic")
            _check(of_payload, event.get_data(), "payload")
            if str(event.get_data()["memberId"]) != headers["ce_subject"]:
                raise InvalidRecord("memberId and ce_subject differ")
        return event


def _check(validator: Draft202012Validator, instance: object, what: str) -> None:
    for error in validator.iter_errors(instance):
        where = "/".join(map(str, error.absolute_path))
        raise InvalidRecord(f"{what} {where or '(as a whole)'}: {error.validator}")


def _headers(record: Record) -> dict[str, str]:
    headers = {name: _text(value) for name, value in record.headers}
    if len(headers) != len(record.headers):
        raise InvalidRecord("a header is there twice")
    return headers


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidRecord("a header or the key is not UTF-8") from error


def _cloud_event(record: Record) -> BaseCloudEvent:
    try:
        message = KafkaMessage(dict(record.headers), record.key, record.value or b"")
        return from_binary_event(message)
    except (CloudEventValidationError, ValueError) as error:
        raise InvalidRecord("not a CloudEvent in binary mode") from error
