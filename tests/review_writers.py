"""Writers of a review's record in processes of their own: ``python review_writers.py URL many|until_killed``."""

import multiprocessing
import sys

from engine.review.events import DocumentKey, Event, Reviewer
from engine.review.log import EventLog

PROCESSES = 8
NAMES = [f"reviewer {number}" for number in range(PROCESSES)]


def decision(name: str, number: int) -> Event:
    """A decision whose token says whose it is, and which."""
    document = DocumentKey(f"d{number}", "hash")
    return Event("label", Reviewer(name), f"{name}-{number}", document=document, label="Keep", why=f"no. {number}")


def write(log: EventLog, event: Event) -> None:
    """Write an event unless it is there, as the book does."""
    with log.writing() as turn:
        if not turn.batch(event.token):
            turn.add([event])


def decisions(url: str) -> int:
    """Decisions of each process; fewer where each takes six messages to a server and back."""
    return 500 if url.startswith("sqlite") else 100


def decide_many(url: str, name: str) -> None:
    """Every tenth decision is sent twice, as after a lost answer."""
    log = EventLog(url)
    for number in range(decisions(url)):
        for _ in range(2 if number % 10 == 0 else 1):
            write(log, decision(name, number))


def race(url: str) -> None:
    """All at once, and nobody made the table before; forked, since starting eight Pythons would take longest."""
    processes = [multiprocessing.get_context("fork").Process(target=decide_many, args=(url, name)) for name in NAMES]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    sys.exit(any(process.exitcode for process in processes))


def decide_until_killed(url: str) -> None:
    """Tell the token of each decision once it is acknowledged."""
    log, number = EventLog(url), 0
    while True:
        event = decision(NAMES[0], number)
        write(log, event)
        print(event.token, flush=True)
        number += 1


if __name__ == "__main__":
    {"many": race, "until_killed": decide_until_killed}[sys.argv[2]](sys.argv[1])
