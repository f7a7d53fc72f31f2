"""Good and hostile traffic against a running service, and the bounds that hold all the same.

    traffic ──┐
              ├──► service ──► answers ──► report ──► exit code
    attacks ──┘       └──────► memory ───────┘

answers.py     what came back, from whom, after how long
connection.py  requests byte by byte, also those that no library would send
traffic.py     ordinary photos at a steady rate, over REST and gRPC
attacks.py     what strangers send, by kind: files, messages, headers, connections, floods
hostility.py   the senders of attacks, in turns
memory.py      memory of all processes of the service, every few seconds
report.py      tables and broken bounds
"""
