"""Canary rollouts: shift traffic to a new version in steps, each of which has to pass a gate.

    cluster ──► Release ──► gate ──► step, promote          the canary is not worse: more traffic
       ▲        (weight,     │  └──► abort                  it is worse: all traffic back to stable
       │        Record)      └─────► hold                   no verdict: the weight stays, and the reason is shown
       └──────── patch with a resourceVersion ◄──┘

    resources.py  kinds, labels, Patch               prometheus.py  errors and latency of a track
    cluster.py    the API server                     golden.py      error of a track on labelled photos
    state.py      record of a rollout                gate.py        Checks -> Verdict
    workload.py   version and readiness of a track   actions.py     start, step, promote, abort
    traffic.py    weight of a route                  auto.py        gate and actions until the end
    release.py    a release, read at one moment      report.py      output of `crowdserve rollout`
    errors.py     errors of a rollout                outage.py      waits for an API server that is away

No state is kept on the machine that runs a command: the route holds the weight, one annotation the rest.
"""
