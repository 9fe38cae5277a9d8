#!/usr/bin/env python3
"""Runs the scenarios of the README against a running stack, with HTTPie as a person would.

Each GET is polled to its expected answer with a deadline; an answer that is neither expected nor a legal earlier
state fails at once. Prints how long each answer was waited for. Ports can be set by MEMBER_URL, POINT_URL and
MYPAGE_URL; the number of rounds is the only argument. A withdrawn memberId joins anew in the next round.
"""

import json
import os
import subprocess
import sys
import time
import uuid

MEMBER = os.environ.get("MEMBER_URL", "http://localhost:8081")
POINT = os.environ.get("POINT_URL", "http://localhost:8083")
MYPAGE = os.environ.get("MYPAGE_URL", "http://localhost:8084")
DEADLINE_S = 2.0


class Unexpected(Exception):
    """An answer that the scenario does not allow."""


def http(method, url, *items):
    """One call by HTTPie: the status code and the body."""
    command = ["http", "--ignore-stdin", "--print=hb", "--pretty=none", "--timeout=10", method, url, *items]
    environment = {**os.environ, "NO_PROXY": "*"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        raise Unexpected(f"{' '.join(command)}: {done.stderr.strip()}")
    head, _, body = done.stdout.replace("\r\n", "\n").partition("\n\n")
    status = int(head.split()[1])
    return status, json.loads(body) if body.strip() else {}


def shows(answer, status, fields):
    return answer[0] == status and all(answer[1].get(name) == value for name, value in fields.items())


def say(method, url, waited, answer):
    shown = {k: v for k, v in answer[1].items() if k in ("code", "memberStatus", "nickname", "phoneNo", "remainPoint")}
    print(f"{waited * 1000:7.0f} ms  {method:6} {url}  {answer[0]} {json.dumps(shown)}", flush=True)


def call(method, url, *items, status, earlier=(), **fields):
    """Makes a call until it is answered as expected, and returns the body. `earlier` are (status, fields) that may come before."""
    start = time.monotonic()
    while True:
        answer = http(method, url, *items)
        waited = time.monotonic() - start
        if shows(answer, status, fields):
            say(method, url, waited, answer)
            return answer[1]
        if not any(shows(answer, *state) for state in earlier):
            raise Unexpected(f"{method} {url}: expected {status} {fields}, got {answer}")
        if waited > DEADLINE_S:
            raise Unexpected(f"{method} {url}: still {answer} after {waited:.1f} s, expected {status} {fields}")


READY = (200, {"memberStatus": "READY"})
NOT_YET = (404, {})


def withdraw(member_id):
    call("DELETE", f"{MEMBER}/members/{member_id}", status=204)
    call("GET", f"{MEMBER}/members/{member_id}", status=404)
    call("GET", f"{POINT}/points/{member_id}", status=404)


def join(member_id, phone_no, nickname):
    call(
        "POST", f"{MEMBER}/members",
        f"phoneNo={phone_no}", f"nickname={nickname}", "memberStatus=READY", f"memberId={member_id}",
        status=201, memberId=member_id, phoneNo=phone_no, nickname=nickname, memberStatus="READY",
    )


def earns_uses_and_withdraws():
    join(1, "01085581234", "SEQ1")
    call("GET", f"{MEMBER}/members/1", status=200, memberStatus="NORMAL", earlier=[READY])
    call("GET", f"{POINT}/points/1", status=200, remainPoint=1000, earlier=[NOT_YET, (200, {"remainPoint": 0})])
    call("PATCH", f"{POINT}/points/1", "requirePoint=530", status=200, remainPoint=1530)
    call("PATCH", f"{POINT}/points/1", "requirePoint=-730", status=200, remainPoint=800)
    withdraw(1)


def cannot_be_notified():
    join(2, "0108558", "SEQ2")
    call("GET", f"{MEMBER}/members/2", status=200, memberStatus="ABNORMAL", earlier=[READY])
    call("GET", f"{POINT}/points/2", status=200, memberStatus="ABNORMAL", remainPoint=0, earlier=[NOT_YET, READY])
    for require_point in ("100", "-50"):
        call(
            "PATCH", f"{POINT}/points/2", f"requirePoint={require_point}",
            status=409, code="member-not-normal", memberStatus="ABNORMAL", remainPoint=0,
        )
    call("GET", f"{POINT}/points/2", status=200, remainPoint=0)
    withdraw(2)


def looks_at_my_page():
    join(3, "01011223344", "SEQ4")
    page = {"phoneNo": "01011223344", "nickname": "SEQ4"}
    early = (200, {**page, "remainPoint": 0})
    call("GET", f"{MYPAGE}/mypages/3", status=200, **page, remainPoint=1000, earlier=[NOT_YET, early])
    call("PATCH", f"{POINT}/points/3", "requirePoint=500", status=200, remainPoint=1500)
    call("GET", f"{MYPAGE}/mypages/3", status=200, **page, remainPoint=1500, earlier=[(200, {"remainPoint": 1000})])


def keeps_receipts():
    join(5, "01033334444", "SEQ5")
    points = f"{POINT}/points/5"
    transactions = f"{points}/transactions"
    call("GET", points, status=200, remainPoint=1000, earlier=[NOT_YET, (200, {"remainPoint": 0})])
    earning = ("type=EARN", "amount=500", "reference=R-1", "expiresAt=2099-12-31T15:00:00Z", f"Idempotency-Key:{uuid.uuid4()}")
    earned = call("POST", transactions, *earning, status=201, type="EARN", amount=500, remainPoint=1500, reference="R-1")
    call("POST", transactions, *earning, status=201, **earned)
    balance = call("GET", points, status=200, remainPoint=1500)
    if [expiration["points"] for expiration in balance["expirations"]] != [1000, 500]:
        raise Unexpected(f"GET {points}: two expirations expected, got {balance}")
    using = ("type=USE", "amount=700", "reference=R-2")
    call("POST", f"{transactions}?dryRun=true", *using, status=200, transactionId=None, amount=-700, remainPoint=800)
    used = call("POST", transactions, *using, status=201, amount=-700, remainPoint=800)["transactionId"]
    cancellation = f"{transactions}/{used}/cancellation"
    call("POST", cancellation, "amount=300", "reason=returned", status=201, refersTo=used, reference="R-2", remainPoint=1100)
    call("POST", cancellation, "reason=returned", status=201, amount=400, remainPoint=1500)
    call("POST", cancellation, "reason=returned", status=409, code="already-cancelled")
    call("POST", f"{points}/adjustments", "amount=-100", "reason=counted twice", status=201, remainPoint=1400)
    listed = call("GET", f"{transactions}?limit=3", status=200)["_embedded"]["transactions"]
    if [entry["type"] for entry in listed] != ["ADJUST", "USE_CANCEL", "USE_CANCEL"]:
        raise Unexpected(f"GET {transactions}?limit=3: newest first expected, got {listed}")
    withdraw(5)


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    for number in range(1, rounds + 1):
        print(f"round {number} of {rounds}")
        earns_uses_and_withdraws()
        cannot_be_notified()
        looks_at_my_page()
        withdraw(3)
        keeps_receipts()
    print(f"{rounds} rounds passed")


if __name__ == "__main__":
    try:
        main()
    except Unexpected as unexpected:
        sys.exit(f"FAILED: {unexpected}")
