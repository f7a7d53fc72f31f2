"""gRPC: the methods of Triton's protocol, of which KServe's is a part.

server ─► service ─► reading ─► compression ─► message ─► codec ─► dataplane

server.py       the server: limits, and which methods it has
service.py      one method each
calls.py        what every method does around its work
health.py       health checking
reflection.py   what the server has
protocol.py     the messages
reading.py      messages on their way in, a few at a time
compression.py  compressed ones, inflated within the memory for bodies
message.py      a serialized request, looked through before protobuf makes objects of it
codec.py        messages to tensors and back
"""
