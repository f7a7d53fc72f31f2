"""`crowdserve rollout`: a canary rollout from the command line.

Exit code 0: done; 1: the gate failed and all traffic went back to stable; 2: the command could not run; 3: no verdict,
the canary's share stays as it is.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crowdserve.cli.options import CaFileOption
from crowdserve.errors import SetupError
from crowdserve.terminal import say

if TYPE_CHECKING:  # a command imports what it needs when it runs, so that --help is quick
    from crowdserve.rollout.actions import Actions
    from crowdserve.rollout.gate import Gate, Margins
    from crowdserve.rollout.release import Release

EXIT_GATE_FAILED = 1
EXIT_NO_VERDICT = 3
EXIT_INTERRUPTED = 130
DEFAULT_STEPS = "5,25,50,100"

rollout_app = typer.Typer(help="Roll out a new version by canary.", no_args_is_help=True)


class Part(StrEnum):
    """A part of the gate that may be left out."""

    METRICS = "metrics"
    GOLDEN = "golden"


class NoVerdict(StrEnum):
    """Action when the gate has no verdict."""

    HOLD = "hold"
    ABORT = "abort"


ReleaseArgument = Annotated[str, typer.Argument(metavar="RELEASE", help="Helm release.", show_default=False)]
NamespaceOption = Annotated[
    str | None, typer.Option("--namespace", "-n", help="Namespace of the release; the kubeconfig's own if left out.")
]
ContextOption = Annotated[str | None, typer.Option(help="Context of the kubeconfig.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show the patches; the server checks and drops them.")]
ReadyOption = Annotated[float, typer.Option(min=0, help="Seconds that a version may take to become ready.")]
DEFAULT_READY_SECONDS = 1800.0


@rollout_app.command()
def status(release: ReleaseArgument, namespace: NamespaceOption = None, context: ContextOption = None) -> None:
    """Show the rollout as the cluster has it."""
    from crowdserve.rollout.report import status_lines

    with _actions(release, namespace, context) as actions:
        for line in status_lines(actions.cluster, actions.read()):
            say(line)


@rollout_app.command()
def start(
    release: ReleaseArgument,
    storage_uri: Annotated[str | None, typer.Option(help="The canary's models; unchanged if left out.")] = None,
    digest: Annotated[
        str | None, typer.Option(help="Digest of those models, as `bundle build` prints it; needed if they are pinned.")
    ] = None,
    image: Annotated[str | None, typer.Option(help="The canary's transformer image; unchanged if left out.")] = None,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Give the canary a version and no traffic."""
    from crowdserve.rollout.report import start_values
    from crowdserve.rollout.state import Version

    if digest is not None and not re.fullmatch("(sha256:)?[0-9a-f]{64}", digest):
        raise SetupError(f"--digest is {digest!r}, expected sha256: and 64 hexadecimal digits in lower case")
    pinned = None if digest is None else f"sha256:{digest.removeprefix('sha256:')}"
    with _actions(release, namespace, context, dry_run=dry_run) as actions:
        started = actions.start(Version(storage_uri, image, pinned))
        say(f"started: the canary gets {started.record.canary}, and no traffic yet")
        say(start_values(actions.cluster, started))


@rollout_app.command()
def step(
    release: ReleaseArgument,
    to: Annotated[
        int | None, typer.Option(min=0, max=100, help="Share in percent; the next of --steps if left out.")
    ] = None,
    steps: Annotated[str, typer.Option(help="Shares in percent, ascending.")] = DEFAULT_STEPS,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Set the canary's share by hand, without the gate."""
    from crowdserve.rollout.auto import next_step, parse_steps

    with _actions(release, namespace, context, dry_run=dry_run) as actions:
        before = actions.read()
        weight = next_step(parse_steps(steps), before) if to is None else to
        if weight is None:
            raise SetupError(f"the canary has {before.weight} %, the last of --steps {steps}; promote is next")
        actions.step(before, weight)


@rollout_app.command()
def promote(
    release: ReleaseArgument,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    dry_run: DryRunOption = False,
    ready_seconds: ReadyOption = DEFAULT_READY_SECONDS,
) -> None:
    """Give stable the canary's version, and then all traffic, without the gate."""
    with _actions(release, namespace, context, dry_run=dry_run, ready_seconds=ready_seconds) as actions:
        before = actions.read()
        actions.promote(before)
        _print_values(actions, before)


@rollout_app.command()
def abort(
    release: ReleaseArgument,
    reason: Annotated[str, typer.Option(help="Reason for the record.")] = "aborted by hand",
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    dry_run: DryRunOption = False,
    ready_seconds: ReadyOption = DEFAULT_READY_SECONDS,
) -> None:
    """Return all traffic to stable."""
    with _actions(release, namespace, context, dry_run=dry_run, ready_seconds=ready_seconds) as actions:
        actions.abort(reason)


@rollout_app.command()
def auto(
    release: ReleaseArgument,
    prometheus: Annotated[
        str | None, typer.Option(envvar="CROWDSERVE_PROMETHEUS", help="URL of Prometheus.", show_default=False)
    ] = None,
    golden: Annotated[
        Path | None, typer.Option(help="Folder with labelled photos: a data set.", show_default=False)
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            envvar="CROWDSERVE_URL",
            help="URL of the service, as its callers use it. It gets the bearer token in CROWDSERVE_TOKEN, if set.",
        ),
    ] = None,
    ca_file: CaFileOption = None,
    without: Annotated[list[Part] | None, typer.Option(help="Leave a part of the gate out.")] = None,
    steps: Annotated[str, typer.Option(help="Shares in percent, ascending.")] = DEFAULT_STEPS,
    soak_seconds: Annotated[float, typer.Option(min=0, help="Shortest time to watch each share.")] = 600.0,
    patience_seconds: Annotated[
        float, typer.Option(min=0, help="Longest wait for a verdict after that, and for an API server that is away.")
    ] = 3600.0,
    settle_seconds: Annotated[
        float, typer.Option(min=0, help="Time from a change to the measurement: Prometheus' scrape interval or more.")
    ] = 30.0,
    poll_seconds: Annotated[float, typer.Option(min=0.01, help="Time between two questions to the gate.")] = 15.0,
    no_verdict: Annotated[NoVerdict, typer.Option(help="Action when the gate has no verdict.")] = NoVerdict.HOLD,
    margin_errors: Annotated[float, typer.Option(min=0, help="Margin added to stable's error rate, 0 to 1.")] = 0.01,
    margin_latency: Annotated[
        float, typer.Option(min=0, help="Margin added to stable's p95 latency, as a fraction.")
    ] = 0.2,
    margin_mae: Annotated[float, typer.Option(min=0, help="Margin added to stable's MAE, as a fraction.")] = 0.05,
    min_requests: Annotated[int, typer.Option(min=1, help="Requests per track needed for a verdict.")] = 100,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    dry_run: DryRunOption = False,
    ready_seconds: ReadyOption = DEFAULT_READY_SECONDS,
) -> None:
    """Raise the canary's share in steps; the gate must pass before each, or stable gets all traffic back."""
    from crowdserve.rollout.auto import Auto, Pace, parse_steps
    from crowdserve.rollout.gate import Margins, Outcome

    pace = Pace(parse_steps(steps), soak_seconds, patience_seconds, poll_seconds, no_verdict is NoVerdict.ABORT)
    margins = Margins(margin_errors, margin_latency, margin_mae, min_requests)
    with _actions(
        release, namespace, context, dry_run=dry_run, ready_seconds=ready_seconds, patience_seconds=patience_seconds
    ) as actions:
        gate = _gate(actions, margins, prometheus, golden, url, ca_file, settle_seconds, frozenset(without or ()))
        before = actions.read()
        try:
            outcome = Auto(actions, gate, pace).run()
        finally:
            gate.close()
        if outcome is Outcome.PASSED:
            _print_values(actions, before)
    exits = {Outcome.FAILED: EXIT_GATE_FAILED, Outcome.UNKNOWN: EXIT_NO_VERDICT}
    raise typer.Exit(exits.get(outcome, 0))


@contextmanager
def _actions(
    release: str,
    namespace: str | None,
    context: str | None,
    *,
    dry_run: bool = False,
    ready_seconds: float = DEFAULT_READY_SECONDS,
    patience_seconds: float = 0.0,
) -> "Iterator[Actions]":
    try:
        from crowdserve.rollout.actions import Actions, describe
        from crowdserve.rollout.cluster import connect
        from crowdserve.rollout.errors import ClusterError
        from crowdserve.rollout.outage import LEAST_PATIENCE_SECONDS

        patience = max(patience_seconds, LEAST_PATIENCE_SECONDS)
        cluster = connect(namespace, context=context, dry_run=dry_run, patience_seconds=patience, say=say)
    except ImportError as err:
        raise SetupError(
            f"rollouts need a package that is not installed: pip install 'crowdserve[rollout]' ({err})"
        ) from err
    actions = Actions(cluster, release, say, ready_seconds)
    try:
        yield actions
    except ClusterError as err:
        if actions.last is None:
            raise
        raise ClusterError(
            f"{err}\nleft as last read: the rollout is {describe(actions.last)}; a change that was sent and not "
            "answered may have been made. Once the server answers, `status` shows it, and the same command goes on"
        ) from err
    except KeyboardInterrupt:
        say("stopped; the rollout stays as `status` shows it, and the same command continues it", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    finally:
        cluster.close()


def _gate(
    actions: "Actions",
    margins: "Margins",
    prometheus: str | None,
    golden: Path | None,
    url: str | None,
    ca_file: Path | None,
    settle_seconds: float,
    without: frozenset[Part],
) -> "Gate":
    from crowdserve.client.tokens import PROMETHEUS_TOKEN, SERVICE_TOKEN, read_token
    from crowdserve.rollout.gate import Gate
    from crowdserve.rollout.golden import load_golden
    from crowdserve.rollout.prometheus import Prometheus

    if prometheus is None and Part.METRICS not in without:
        raise SetupError("the gate asks Prometheus: give --prometheus URL, or leave that out with --without metrics")
    if (golden is None or url is None) and Part.GOLDEN not in without:
        raise SetupError("the gate counts a golden set: give --golden FOLDER and --url, or --without golden")
    asked = golden_set = service_token = None
    if prometheus and Part.METRICS not in without:
        token = read_token(PROMETHEUS_TOKEN)
        asked = Prometheus(prometheus, actions.cluster.namespace, token=token, ca_file=ca_file)
        asked.check_access()
    if golden and Part.GOLDEN not in without:
        golden_set, service_token = load_golden(golden), read_token(SERVICE_TOKEN)
    return Gate(actions.cluster, margins, asked, golden_set, url or "", settle_seconds, service_token, ca_file)


def _print_values(actions: "Actions", release: "Release") -> None:
    from crowdserve.rollout.report import promoted_values

    say(promoted_values(actions.cluster, release))
