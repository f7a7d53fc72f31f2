# A probe of Triton on the loopback address: $path answers 200. bash is in every image that Triton is in, curl is not.
exec 3<> /dev/tcp/127.0.0.1/8085
printf 'GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n' "$path" >&3
read -r _ status _ <&3
[ "$status" = 200 ]
