"""Canary rollouts: shift traffic to a new version by steps, each of which has to pass a gate.

    cluster ──► Release ──► gate ──► step, promote          the canary is not worse: more traffic
       ▲        (weight,     │  └──► abort                  it is worse: all traffic back to stable
       │        Record)      └─────► hold                   no verdict: the weight stays, and the reason is said
       └──────── patch with a resourceVersion ◄──┘

    resources.py  kinds, labels, Patch               prometheus.py  errors and latency of a track
    cluster.py    the API server                     golden.py      error of a track on labelled photos
    state.py      what a rollout writes down         gate.py        Checks -> Verdict
    workload.py   version and readiness of a track   actions.py     start, step, promote, abort
    traffic.py    weight of a route                  auto.py        gate and actions until the end
    release.py    all of it, read at one moment      report.py      what `crowdserve rollout` prints
    errors.py     what stops a rollout

Nothing is kept on the machine that runs a command: the weight is the route's, the rest is one annotation.
"""
