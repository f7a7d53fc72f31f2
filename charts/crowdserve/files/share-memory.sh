# How Triton is told of memory that the transformer of its pod shares with it: gRPC on a Unix socket in $sockets, a volume that no
# other container has. Without that volume photos come over HTTP.
if (: > "$sockets/written") 2> /dev/null; then
  grpc=--grpc-address=unix:$sockets/memory
else
  echo "$sockets cannot be written: no memory is shared" >&2
  grpc=--allow-grpc=false
fi
