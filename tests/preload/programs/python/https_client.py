"""Fetches over TLS in threads. usage: https_client.py PORT CERTIFICATE THREADS"""
import hashlib
import socket
import ssl
import sys
import threading
import urllib.error
import urllib.request

from checks import say

PORT, CERTIFICATE, THREADS = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
PATIENCE = 40
context = ssl.create_default_context(cafile=CERTIFICATE)
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}),
                                     urllib.request.HTTPSHandler(context=context))


def page(number):
    return hashlib.sha256(b"%d" % number).hexdigest().encode() * (number * 10 + 1)


def by_urllib(number):
    with opener.open(f"https://localhost:{PORT}/gate/{number}", timeout=PATIENCE) as answer:
        return answer.read() == page(number)


def by_ssl(number):
    with socket.create_connection(("127.0.0.1", PORT), PATIENCE) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as secure:
            secure.sendall(b"GET /page/%d HTTP/1.0\r\n\r\n" % number)
            with secure.makefile("rb") as answer:
                length = 0
                while (line := answer.readline()) != b"\r\n":
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                return answer.read(length) == page(number)


def in_threads(fetch):
    good = []
    threads = [threading.Thread(target=lambda n=n: good.append(fetch(n))) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return good.count(True)


def main():
    try:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
            f"https://localhost:{PORT}/page/1", timeout=PATIENCE)
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            say("distrusted")
    try:
        opener.open(f"https://localhost:{PORT}/slow/1", timeout=0.3)
    except TimeoutError:
        say("too slow")
    say(f"urllib {in_threads(by_urllib)}")
    say(f"ssl {in_threads(by_ssl)}")


main()
