"""The crawler example, on a small site that python's http.server serves."""

import http.server
import socket
import threading
import unittest

from driver import PATIENCE_S, ExampleTest, main, run

PAGES = {
    "/": "<a href='a/'>a</a> <a href=\"b?x=1&amp;y=2#top\">b</a> <a href='/'>self</a>",
    "/a/": "<a href='../c'>c</a> <a href='d.txt'>d</a> <a href='http://[x'>bad</a>",
    "/a/d.txt": "<a href='/never'>not a page of HTML</a>",
    "/b?x=1&y=2": "<a href='/missing'>m</a> <a href='http://other.invalid/'>elsewhere</a>"
                  "<a href='mailto:a@b'>mail</a> <a href='/moved'>moved</a>",
    "/c": "<a href='/deep'>deep</a>",
    "/deep": "the end",
    "/wide": "".join(f"<a href='/wide?{n}'>{n}</a>" for n in range(100)),
    "/slow": "<a href='/slow/body'>slow</a>",
}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = PATIENCE_S
    wbufsize = -1  # head and body go out together
    ending = threading.Event()

    def do_GET(self):
        if self.path == "/slow/body":
            self.ending.wait(PATIENCE_S)
        status, kind = 200, "text/plain" if self.path.endswith(".txt") else "text/html"
        text = "<p>" if self.path.startswith("/wide?") else PAGES.get(self.path)
        if self.path == "/moved":
            status, text = 301, "moved"
        elif text is None:
            status, text = 404, "missing"
        self.send_response(status)
        if status == 301:
            self.send_header("Location", "/deep#x")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_):
        """The crawler may hang up whenever it likes."""


class CrawlerTest(ExampleTest):
    def setUp(self):
        Handler.ending.clear()
        self.server = Server(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def tearDown(self):
        Handler.ending.set()
        self.server.shutdown()
        self.server.server_close()

    def crawl(self, *arguments, path="/"):
        """The run, its lines for pages as (status, size, path), and its last line."""
        done = run("crawler", *arguments, self.base + path)
        *lines, last = done.stdout.splitlines()
        pages = []
        for line in lines:
            status, size, rest = line.split(maxsplit=2)
            pages.append((status, size, rest.replace(self.base, "")))
        return done, sorted(pages), last

    def page(self, path, status=200, text=None):
        text = PAGES[path] if text is None else text
        return (str(status), str(len(text)), path)

    def test_walks_through_the_pages_of_one_host(self):
        done, pages, last = self.crawl("--depth", "3")
        self.assertEqual(done.returncode, 0, done.stderr)
        expected = [self.page(path) for path in PAGES if not path.startswith(("/wide", "/slow"))]
        expected += [self.page("/moved", 301, "moved"), self.page("/missing", 404, "missing"),
                     ("error", "-", "What stands in brackets is no IPv6 address in /a/")]
        self.assertEqual(pages, sorted(expected))
        size = sum(int(size) for _, size, _ in pages if size != "-")
        self.assertEqual(last, f"8 pages, {size} bytes, 2 errors")

    def test_goes_no_deeper_than_told(self):
        _, pages, _ = self.crawl("--depth", "1")
        self.assertEqual(sorted(path for _, _, path in pages), ["/", "/a/", "/b?x=1&y=2"])
        _, pages, _ = self.crawl("--depth", "0")
        self.assertEqual(pages, [self.page("/")])

    def test_fetches_no_more_pages_than_told(self):
        done, pages, _ = self.crawl("--pages", "40", path="/wide")
        self.assertEqual((len(pages), done.returncode), (40, 0))
        _, pages, _ = self.crawl("--jobs", "1", path="/wide")
        self.assertEqual(len(pages), 100)

    def test_ends_when_the_time_is_up(self):
        done, pages, last = self.crawl("--time", "1", path="/slow")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(pages, [self.page("/slow")])
        self.assertIn("the time is up; 1 pages are missing", done.stderr)
        self.assertTrue(last.startswith("1 pages"), last)

    def test_says_why_the_first_page_cannot_be_had(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        done = run("crawler", f"http://127.0.0.1:{port}/")
        self.assertEqual(done.returncode, 1)
        self.assertIn("Connection refused", done.stdout)
        done = run("crawler", "http://127.0.0.1:x/")
        self.assertEqual(done.returncode, 1)
        self.assertIn("The port must be a number", done.stderr)

    def test_explains_itself(self):
        self.assert_usage("crawler")
        self.assertEqual(run("crawler").returncode, 2)


if __name__ == "__main__":
    main()
