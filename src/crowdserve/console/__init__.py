"""The console: pages of cameras, counts and alerts, at `/console`.

    board of the watcher in this process ─ beside ─┐
                                                   ├─► wall ─ events (server-sent) ─► static: pages, scripts
    consoles of other watchers ─────────── joined ─┘    ▲
                          service: ready, counts a photo ┘

rezoning.py  other zones, kept where the next watcher finds them
wall.py      what pages show, each part with the version that changed it      views.py   readings and alerts as JSON
beside.py    the watcher of this process       joined.py    several others, over HTTP; follower.py reads one
service.py   the service that counts           access.py    who may change something; sessions.py   for how long
hosts.py     names under which it answers
api.py       what pages ask for                events.py    what they are told
files.py     pages, scripts, styles            app.py       all of it, as an ASGI application
streams.py   answers in pieces
links.py     another server's answers, passed on      cameras.py   what beside and joined have in common

A page that is slow costs nothing: it is told what is newest when it has taken what came before.
"""
