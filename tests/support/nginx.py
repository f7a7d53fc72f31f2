"""Debian's nginx, in front of a server."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.free_ports import free_port
from tests.support.waiting import answers, wait_for

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")

_CONFIGURATION = """\
daemon off;
{user}
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    location = /healthz {{ return 200; }}
{locations}
  }}
}}
"""


@contextmanager
def nginx(folder: Path, locations: str) -> Iterator[str]:
    """The URL of an nginx with these locations, while the block runs; it has a folder for itself."""
    assert NGINX is not None
    port = free_port()
    user = "" if os.geteuid() else "user root;"  # its workers write bodies into the folder
    file = folder / "nginx.conf"
    file.write_text(_CONFIGURATION.format(folder=folder, port=port, locations=locations, user=user))
    process = subprocess.Popen([NGINX, "-c", str(file), "-e", str(folder / "nginx.log")])
    try:
        wait_for(lambda: answers(f"http://127.0.0.1:{port}/healthz"))
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)
