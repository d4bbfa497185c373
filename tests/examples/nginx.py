"""An nginx of a test's own: in a folder of its own, on a loopback port."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

PROGRAM = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
STOP_PATIENCE_S = 10

CONFIGURATION = """
user {user}; worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 1000; }}
http {{
  access_log off; default_type application/octet-stream;
  client_max_body_size 0; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port}; root {folder}/files;
    {server}
  }}
}}
"""


class Nginx:
    """Serves `files`, as `server` says in nginx's own words. Leaving its `with` block ends it.

    It inherits the socket on which it listens, so that nobody else can take its port, and so that
    connections wait for it while it starts.
    """

    def __init__(self, server=""):
        self._folder = tempfile.TemporaryDirectory(prefix="coir-nginx-")
        folder = Path(self._folder.name)
        self.files = folder / "files"
        self.files.mkdir()
        with socket.create_server(("127.0.0.1", 0), backlog=511) as listener:
            self.port = listener.getsockname()[1]
            text = CONFIGURATION.format(folder=folder, port=self.port, server=server,
                                        user=pwd.getpwuid(os.geteuid()).pw_name)
            (folder / "conf").write_text(text, encoding="utf-8")
            self._process = subprocess.Popen(
                [PROGRAM, "-p", folder, "-c", folder / "conf", "-e", folder / "error.log"],
                pass_fds=[listener.fileno()], stdin=subprocess.DEVNULL,
                env={**os.environ, "NGINX": f"{listener.fileno()};"})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait(STOP_PATIENCE_S)
        self._folder.cleanup()

    @property
    def place(self):
        """HOST:PORT."""
        return f"127.0.0.1:{self.port}"
