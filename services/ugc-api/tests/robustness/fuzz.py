"""Random requests through the whole API, to a sink that keeps nothing.

    make fuzz-api CASES=100000

Each case is drawn from the seed and its number alone, so a failure can be repeated by itself:
`--only NUMBER`. No answer may be a 5xx, every answer has to be consistent, everything in the sink
has to be a record that consumers take, and memory must not grow.
"""

import argparse
import gc
import io
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Any
from uuid import UUID

import psutil
from api_samples import NOW_MS, PREFIX, settings, token
from robustness.random_requests import RandomRequest, random_request
from ugc_api.adapters.memory import MemorySink
from ugc_api.http.app import create_app
from ugc_events import FAMILIES, Invalid, decode_record
from werkzeug.test import run_wsgi_app

VIEWERS = 500
WARM_UP_SHARE = 0.2
GROWTH_MIB = 8.0
"""What the allocator may keep more at the end than after the warm-up."""
_MIB = 1 << 20
_FAMILIES = {family.topic_of(PREFIX): family for family in FAMILIES}


class Broken(AssertionError):  # noqa: N818
    """An answer that no request may get."""


class Fuzz:
    """The app, and the cases of one seed.

    Attributes:
        statuses: answers by HTTP status.
        records: how many were published.
        sink: where they went; emptied before each case.
    """

    def __init__(self, seed: int) -> None:
        self.statuses: Counter[int] = Counter()
        self.records = 0
        self._seed = seed
        self.sink = MemorySink()
        self._app = create_app(settings(), self.sink, clock_ms=lambda: NOW_MS)
        chance = Random(seed)
        viewers = [UUID(int=chance.getrandbits(128), version=4) for _ in range(VIEWERS)]
        self._tokens = [token(sub=str(viewer)) for viewer in viewers]

    def request(self, number: int) -> RandomRequest:
        """The case of that number."""
        return random_request(Random(f"{self._seed} {number}"), self._tokens)

    def case(self, number: int) -> None:
        """Send it. Raises Broken."""
        request = self.request(number)
        environ: dict[str, Any] = {
            "SCRIPT_NAME": "",
            "SERVER_NAME": "ugc.example",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(request.body),
            # As gunicorn says: the stream ends where the body does.
            "wsgi.input_terminated": True,
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            **request.environ,
        }
        self.sink.records.clear()
        chunks, status_line, headers = run_wsgi_app(self._app, environ)
        body = b"".join(chunks)
        status = int(status_line.split()[0])
        self.statuses[status] += 1
        self.records += len(self.sink.records)
        self._check(request, status, headers.get("Content-Type", ""), body)

    def _check(self, request: RandomRequest, status: int, kind: str, body: bytes) -> None:
        if status >= 500:
            raise Broken(f"{status}: {body[:500]!r}")
        for record in self.sink.records:
            decoded = decode_record(_FAMILIES[record.topic], record.value)
            if isinstance(decoded, Invalid):
                raise Broken(f"a record that consumers refuse: {decoded}: {record.value!r}")
        if request.environ["REQUEST_METHOD"] == "HEAD":
            return
        if status >= 400:
            problem = json.loads(body)
            if kind != "application/problem+json" or problem["status"] != status:
                # 400 may also be said event by event.
                self._check_results(status, problem)
        elif status in {202, 207}:
            self._check_results(status, json.loads(body))
            if not self.sink.records:
                raise Broken(f"{status}, and nothing was published")

    def _check_results(self, status: int, answer: dict[str, Any]) -> None:
        counted = Counter(result["status"] for result in answer["results"])
        for outcome in ("accepted", "duplicate", "invalid", "retry"):
            if answer[outcome] != counted[outcome]:
                raise Broken(f"{answer[outcome]} {outcome} are {counted[outcome]}")
        published = len(self.sink.records)
        if counted["accepted"] != published:
            raise Broken(f"{counted['accepted']} accepted, {published} published")
        if (status == 202) != (counted["invalid"] == 0):
            raise Broken(f"{status} to {counted}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, and tell; 1 where something is broken or memory grew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="the one case of that number")
    options = parser.parse_args(arguments)
    fuzz = Fuzz(options.seed)
    if options.only is not None:
        request = fuzz.request(options.only)
        print(request.environ, request.body[:2000], sep="\n")
        fuzz.case(options.only)
        print(dict(fuzz.statuses))
        return 0
    process, started_s = psutil.Process(), time.monotonic()
    warm, warm_mib = int(options.cases * WARM_UP_SHARE), 0.0
    for number in range(options.cases):
        try:
            fuzz.case(number)
        except Exception as error:
            error.add_note(f"again: --seed {options.seed} --only {number}")
            raise
        if number == warm:
            gc.collect()
            warm_mib = process.memory_info().rss / _MIB
    gc.collect()
    growth_mib = process.memory_info().rss / _MIB - warm_mib
    print(
        f"{options.cases:,} cases in {time.monotonic() - started_s:.0f} s, seed {options.seed}: "
        f"no 5xx; {fuzz.records:,} records\nanswers: "
        + ", ".join(f"{count:,} × {status}" for status, count in fuzz.statuses.most_common())
        + f"\nresident memory: {warm_mib:.1f} MiB after {warm:,} cases, "
        f"{growth_mib:+.1f} at the end"
    )
    return 0 if growth_mib <= GROWTH_MIB else 1


if __name__ == "__main__":
    sys.exit(main())
