"""Requests, errors and latency of a track, from Prometheus."""

import math
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from crowdserve.certificates import certificate_problem, tls_context
from crowdserve.client.service import without_user
from crowdserve.client.tokens import PROMETHEUS_TOKEN
from crowdserve.errors import SetupError
from crowdserve.rollout.state import Traffic, now

REQUESTS = "crowdserve_requests_total"
SECONDS = "crowdserve_request_seconds_bucket"
PUBLIC = ',traffic!="tester"'
"""Requests of testers are left out: they send to a canary what they like. Older transformers have no such label."""
FAILED = ',status=~"5.."'
P95 = 0.95
REQUESTS_FOR_P95 = 59
"""With fewer, even the slowest is not over the true 95th percentile with 95 % confidence: 0.95^59 < 0.05."""
_ONE_SIDED_95 = 1.645
"""Quantile of the normal distribution."""
ANSWER_SECONDS = 20.0


class PrometheusSilent(Exception):
    """Prometheus gave no answer to base a verdict on."""


class Prometheus:
    """A client of Prometheus' query API.

    Args:
        url: Prometheus' URL, such as ``http://prometheus.monitoring:9090``; a path in it is kept.
        namespace: Namespace of the pods.
        token: Bearer token to send.
        ca_file: Certificates of authorities to trust besides the usual ones.

    Raises:
        SetupError: If the URL is none, or the file has no certificates.
    """

    def __init__(self, url: str, namespace: str, *, token: str | None = None, ca_file: Path | None = None) -> None:
        if not url.startswith(("http://", "https://")):
            raise SetupError(
                f"Prometheus' URL is {without_user(url)!r}; expected one like http://prometheus.monitoring:9090"
            )
        self._url = url.rstrip("/")
        self._shown = without_user(self._url)
        self._namespace = namespace
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._ca_file = ca_file
        self._http = httpx.Client(headers=headers, timeout=ANSWER_SECONDS, verify=tls_context(ca_file, url=url))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def check_access(self) -> None:
        """Fail if Prometheus refuses this caller; if it does not answer, it may do so later.

        Raises:
            SetupError: If it refuses; the message names the variable with the token.
        """
        with suppress(PrometheusSilent):
            self._ask("vector(1)", now())

    def traffic(self, pods: str, begin: datetime, end: datetime) -> Traffic:
        """Requests, errors and latency of a track's pods in a period.

        Args:
            pods: Regular expression of the pods' names.
            begin: Begin of the period.
            end: End of the period.

        Raises:
            PrometheusSilent: If Prometheus does not answer, or not with numbers.
            SetupError: If it refuses this caller.
        """
        where = f'namespace="{self._namespace}",pod=~"{pods}"'
        window = f"{max(1, (end - begin) // timedelta(milliseconds=1))}ms"
        total = self._number(f"sum({_grown(REQUESTS, where + PUBLIC, window)})", end)
        failed = self._number(f"sum({_grown(REQUESTS, where + PUBLIC + FAILED, window)})", end)
        seconds = f"sum by (le) ({_grown(SECONDS, where, window)})"
        shares = P95, *(quantile_shares(total) if total and total >= REQUESTS_FOR_P95 else ())
        p95, *bounds = (self._number(f"histogram_quantile({share:.4f}, {seconds})", end) for share in shares)
        low, high = bounds or (None, None)
        known = None if low is None or high is None else (low, high)
        return Traffic(total or 0.0, failed or 0.0, p95, known)

    def _number(self, query: str, at: datetime) -> float | None:
        """The value of a query that gives one; None if it gives none or NaN."""
        result = self._ask(query, at)
        value = float(result[0]["value"][1]) if result else math.nan
        return None if math.isnan(value) else value

    def _ask(self, query: str, at: datetime) -> list[Any]:
        try:
            url, form = f"{self._url}/api/v1/query", {"query": query, "time": f"{at.timestamp():.6f}"}
            reply = self._http.post(url, data=form)
            self._check_token(reply)
            content = reply.json()
            if content["status"] != "success":
                raise PrometheusSilent(f"Prometheus refused a query: {content.get('error')}")
            return list(content["data"]["result"])
        except httpx.InvalidURL as err:  # its text may repeat a password
            raise SetupError(f"{self._shown} cannot be read as a URL; expected Prometheus'") from err
        except httpx.HTTPError as err:
            if problem := certificate_problem(err, self._ca_file):
                raise SetupError(f"Prometheus at {self._shown}: {problem}") from err
            raise PrometheusSilent(f"Prometheus at {self._shown} does not answer ({type(err).__name__})") from err
        except (ValueError, LookupError, TypeError) as err:
            raise PrometheusSilent(
                f"{self._shown} answered {reply.status_code}, which is not a Prometheus reply"
            ) from err

    def _check_token(self, reply: httpx.Response) -> None:
        if reply.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            sent = "Authorization" in reply.request.headers
            remedy = (
                f"it refuses the token in {PROMETHEUS_TOKEN}" if sent else f"set {PROMETHEUS_TOKEN} to a bearer token"
            )
            answer = f"{reply.status_code} {reply.reason_phrase}"
            raise SetupError(f"Prometheus at {self._shown} answered {answer}: {remedy}")


def quantile_shares(requests: float) -> tuple[float, float]:
    """Shares whose sample quantiles bound the true 95th percentile from below and above, with 95 % confidence each.

    The number of requests under the true one is binomial, here by its normal approximation.

    Args:
        requests: Number of requests, from `REQUESTS_FOR_P95` up.
    """
    half_width = _ONE_SIDED_95 * math.sqrt(P95 * (1 - P95) / requests)
    return P95 - half_width, P95 + half_width


def _grown(metric: str, where: str, window: str) -> str:
    """Growth of each counter in a window, from zero for one that appeared within it.

    `increase` alone begins at a counter's first sample, so that it misses the counts of a new pod, or of a status seen
    for the first time, until then: above all the first errors of a canary.
    """
    series = f"{metric}{{{where}}}"
    before = f"{series} offset {window}"
    return f"(increase({series}[{window}]) and {before}) or max_over_time({series}[{window}])"
