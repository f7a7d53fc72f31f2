# Waits until the transformer of this pod has gone, for $seconds at most: what it still answers needs Triton. A pod's
# containers share their sockets: 1F90 and 1F91 are the transformer's ports, 0A listens, 01 is connected.
while [ "$seconds" -gt 0 ] &&
  cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -qE '^ *[0-9]+: [0-9A-F]+:1F9[01] [0-9A-F:]+ (01|0A) '; do
  sleep 1
  seconds=$((seconds - 1))
done
