#!/usr/bin/env python3
"""The site_server example, with curl, with Python's client, and with ab."""

import http.client
import json
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import unittest

from driver import PATIENCE_S, ExampleTest, Server, main, run


def curl(server, path, *arguments):
    """(status, body) of curl's request."""
    done = subprocess.run(["curl", "--silent", "--show-error", "--max-time", str(PATIENCE_S),
                           "--noproxy", "*", "--write-out", "\n%{http_code}", *arguments,
                           f"http://127.0.0.1:{server.port}{path}"],
                          capture_output=True, text=True, timeout=2 * PATIENCE_S, check=True)
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


class SiteServerTest(ExampleTest):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="coir-site-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "index.html").write_text("<h1>here</h1>", encoding="utf-8")
        (self.folder / "data").write_bytes(bytes(range(256)) * 8000)

    def serve(self, *arguments):
        return Server("site_server", "--folder", str(self.folder), *arguments)

    def test_files_are_served(self):
        with self.serve("--quiet") as server:
            self.assertEqual(curl(server, "/"), (200, "<h1>here</h1>"))
            self.assertEqual(curl(server, "/nowhere")[0], 404)
            self.assertEqual(curl(server, "/../etc/passwd", "--path-as-is")[0], 400)
            target = self.folder / "fetched"
            curl(server, "/data", "--output", str(target))
            self.assertEqual(target.read_bytes(), (self.folder / "data").read_bytes())
            target.write_bytes(target.read_bytes()[:1000])
            curl(server, "/data", "--continue-at", "-", "--output", str(target))
            self.assertEqual(target.read_bytes(), (self.folder / "data").read_bytes())

    def test_notes_are_kept_listed_and_dropped(self):
        with self.serve("--quiet") as server:
            client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)

            def ask(method, path, body=None):
                client.request(method, path, body)
                answer = client.getresponse()
                return answer.status, answer.read()

            text = 'one "two"\nthree \N{SNOWMAN}'
            status, body = ask("POST", "/notes", text.encode())
            self.assertEqual((status, json.loads(body)), (201, {"id": 1, "text": text}))
            self.assertEqual(ask("POST", "/notes", b"")[0], 400)
            # A body of unknown length goes out in chunks.
            status, body = ask("POST", "/notes", iter([b"in ", b"chunks"]))
            self.assertEqual((status, json.loads(body)["text"]), (201, "in chunks"))
            self.assertEqual(json.loads(ask("GET", "/notes/1")[1])["text"], text)
            self.assertEqual(ask("DELETE", "/notes/1"), (204, b""))
            self.assertEqual(ask("GET", "/notes/1")[0], 404)
            self.assertEqual(ask("GET", "/notes/1x")[0], 404)
            self.assertEqual([note["id"] for note in json.loads(ask("GET", "/notes")[1])], [2])
            self.assertEqual(ask("PUT", "/notes")[0], 405)
            client.close()

    def test_requests_are_logged(self):
        with self.serve() as server:
            curl(server, "/")
            self.assertRegex(server.line(PATIENCE_S),
                             r'^127\.0\.0\.1 - - \[\S+ \+0000\] "GET / HTTP/1\.1" 200 13$')

    @unittest.skipUnless(shutil.which("ab"), "apache2-utils is not installed")
    def test_a_crowd_of_connections_is_served(self):
        with self.serve("--quiet") as server:
            for options in (["-k"], []):
                done = subprocess.run(["ab", "-q", "-n", "2000", "-c", "100", *options,
                                       f"http://127.0.0.1:{server.port}/"],
                                      capture_output=True, text=True, timeout=2 * PATIENCE_S,
                                      check=True)
                self.assertRegex(done.stdout, r"Complete requests:\s+2000\b")
                self.assertRegex(done.stdout, r"Failed requests:\s+0\b")
                self.assertIsNone(re.search(r"Non-2xx", done.stdout))

    def test_a_signal_ends_it_though_a_connection_waits(self):
        with self.serve("--quiet") as server:
            client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
            client.request("GET", "/")
            client.getresponse().read()
            self.assertEqual(server.stop(signal.SIGTERM), 0)
            client.close()

    def test_wrong_arguments_are_refused(self):
        self.assert_usage("site_server")
        result = run("site_server", "--folder", "/nowhere")
        self.assertEqual(result.returncode, 1)
        self.assertIn("/nowhere", result.stderr)


if __name__ == "__main__":
    main()
