"""The division: several watchers share the cameras of a site, each camera counted by one, by Leases of Kubernetes.

    session ── a Lease of this watcher, renewed ──► alive until …, on its own clock
    roster ─── the Leases of the others ──────────► who is alive, who has been silent for too long
    ranking ── rendezvous hashing ────────────────► which cameras are this watcher's share
    member ─── a Lease of each camera ────────────► held: taken by one write, never renewed

A camera's Lease names the session that holds it, and is good for as long as that session lives: so 1,000 cameras cost
no more renewals than one. Who finds a watcher silent for the whole duration of its Lease ends the session, by a write
that fails if the watcher has renewed it meanwhile, and only then are its cameras taken. The watcher itself has stopped
by then: it counts for two thirds of the duration from the moment before its last renewal was sent. Every decision is a
write that names the version that it was made from, so an old answer, or one that was lost, costs a conflict and never
two owners.

leases.py    what a Lease says, and what can be done with it     timing.py   how long, how often
api.py       the same, at an API server                         running.py  threads around session and member
"""
