"""A stand-in for Prometheus that answers the gate's queries, over its real HTTP API.

It keeps every request with its time, so a window contains exactly the requests made in it. Quantiles come from the
transformer's buckets, interpolated as Prometheus does it.
"""

import json
import re
import time
from bisect import bisect_left
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from itertools import accumulate
from urllib.parse import parse_qs

from crowdserve_transformer.metrics import REQUEST_SECONDS_BOUNDS
from tests.support.cluster.stoppable import StoppableServer

_SERIES = r"(?P<metric>crowdserve_\w+)\{(?P<where>[^}]*)\}"
_GROWN = re.compile(
    rf"\(increase\({_SERIES}\[(?P<window>\d+)ms\]\) and (?P=metric)\{{(?P=where)\}} offset (?P=window)ms\)"
    r" or max_over_time\((?P=metric)\{(?P=where)\}\[(?P=window)ms\]\)"
)
_QUANTILE = re.compile(r"histogram_quantile\((0\.\d+), sum by \(le\) \(")
_MATCHER = re.compile(r'(\w+)(=~|!=|=)"([^"]*)"')


@dataclass(frozen=True)
class Seen:
    """A request that a pod answered."""

    at: float
    namespace: str
    pod: str
    status: str
    seconds: float
    traffic: str


class PrometheusServer(StoppableServer):
    """The server; a context manager.

    Attributes:
        seen: Requests that pods answered.
        mood: "well", "refuses" (answers 503 with an error), "confused" (answers with HTML) or "closed" (answers 401).
        queries: The queries it received.
        tokens: The tokens it received.
    """

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.mood = "well"
        self.queries: list[str] = []
        self.tokens: list[str | None] = []
        super().__init__(_Handler, "prometheus")

    def observe(
        self,
        pod: str,
        requests: int,
        *,
        errors: int = 0,
        seconds: float = 0.2,
        traffic: str = "public",
        status: str = "200",
    ) -> None:
        """Record requests that a pod answers now: some with 500, the others with a status."""
        now = time.time()
        for i in range(requests):
            self.seen.append(Seen(now, "demo", pod, "500" if i < errors else status, seconds, traffic))

    def evaluate(self, query: str, at: float) -> float | None:
        """The value of one of the gate's queries; None for an empty result."""
        match = _GROWN.search(query)
        if match is None or query.count("(") != query.count(")"):
            raise ValueError(f"parse error: {query}")
        chosen = self._chosen(match["where"], int(match["window"]) / 1000, at)
        before, after = query[: match.start()], query[match.end() :]
        if (before, after, match["metric"]) == ("sum(", ")", "crowdserve_requests_total"):
            return float(len(chosen)) if chosen else None
        if (quantile := _QUANTILE.fullmatch(before)) and after == "))":
            return histogram_quantile(float(quantile[1]), [each.seconds for each in chosen if each.traffic == "public"])
        raise ValueError(f"not a query of the gate: {query}")

    def _chosen(self, where: str, window: float, at: float) -> list[Seen]:
        chosen = [each for each in self.seen if at - window <= each.at <= at]
        for label, operator, value in _MATCHER.findall(where):
            pattern = value if operator == "=~" else re.escape(value)
            wanted = operator != "!="
            chosen = [each for each in chosen if bool(re.fullmatch(pattern, getattr(each, label))) is wanted]
        return chosen


def histogram_quantile(share: float, values: list[float]) -> float:
    """A quantile of values by the transformer's buckets, linear within the bucket that it falls into."""
    counts = [0] * (len(REQUEST_SECONDS_BOUNDS) + 1)
    for value in values:
        counts[bisect_left(REQUEST_SECONDS_BOUNDS, value)] += 1
    if not values:
        return float("nan")
    rank, until = share * len(values), list(accumulate(counts))
    i = bisect_left(until, rank)
    if i == len(REQUEST_SECONDS_BOUNDS):
        return REQUEST_SECONDS_BOUNDS[-1]
    lower = REQUEST_SECONDS_BOUNDS[i - 1] if i else 0.0
    return lower + (REQUEST_SECONDS_BOUNDS[i] - lower) * (rank - (until[i] - counts[i])) / counts[i]


class _Handler(BaseHTTPRequestHandler):
    prometheus: PrometheusServer

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        query = form["query"][0]
        self.prometheus.queries.append(query)
        self.prometheus.tokens.append(self.headers.get("Authorization"))
        if self.path != "/api/v1/query" or self.prometheus.mood == "confused":
            return self._reply(404 if self.prometheus.mood == "well" else 200, "<html>login</html>")
        if self.prometheus.mood == "closed":
            return self._reply(401, "<html>who are you?</html>")
        if self.prometheus.mood == "refuses":
            error = {"status": "error", "errorType": "timeout", "error": "query timed out in expression evaluation"}
            return self._reply(503, json.dumps(error))
        try:
            value = self.prometheus.evaluate(query, float(form["time"][0]))
        except ValueError as err:
            return self._reply(400, json.dumps({"status": "error", "errorType": "bad_data", "error": str(err)}))
        result = [] if value is None else [{"metric": {}, "value": [time.time(), f"{value:g}".replace("nan", "NaN")]}]
        return self._reply(200, json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}))

    def _reply(self, code: int, text: str) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())
