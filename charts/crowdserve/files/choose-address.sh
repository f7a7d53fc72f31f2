# The address that Triton listens on as its flags write it, and as a client does. Triton serves one family: where $host is
# empty, that of this pod's first address, which the kubelet lists first in /etc/hosts.
if [ -z "$host" ]; then
  host=0.0.0.0
  while read -r address names; do
    for name in $names; do
      if [ "$name" = "${HOSTNAME-}" ]; then
        case $address in *:*) host=:: ;; esac
        break 2
      fi
    done
  done < /etc/hosts
fi
case $host in
  *:*) listen=ipv6:$host own=[$host] ;;
  *) listen=$host own=$host ;;
esac
