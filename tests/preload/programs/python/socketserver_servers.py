"""socketserver's threading servers for TCP and UDP in one process."""
import signal
import socketserver
import threading

from checks import peak, say

MEETING = 50  # datagrams that are answered together


class Lines(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line[::-1].strip() + b"\n")


class Datagrams(socketserver.BaseRequestHandler):
    seen = set()
    changed = threading.Condition()

    def handle(self):
        data, reply_from = self.request
        with self.changed:
            self.seen.add(data)
            self.changed.notify_all()
            self.changed.wait_for(lambda: len(self.seen) > MEETING, 60)
        reply_from.sendto(data.upper(), self.client_address)


class TcpServer(socketserver.ThreadingTCPServer):
    request_queue_size = 256


def main():
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with (TcpServer(("127.0.0.1", 0), Lines) as tcp,
          socketserver.ThreadingUDPServer(("127.0.0.1", 0), Datagrams) as udp):
        servers = [threading.Thread(target=server.serve_forever, args=(0.1,))
                   for server in (tcp, udp)]
        for server in servers:
            server.start()
        say(f"port {tcp.server_address[1]}")
        say(f"port {udp.server_address[1]}")
        with Datagrams.changed:
            Datagrams.changed.wait_for(lambda: len(Datagrams.seen) == MEETING, 60)
        peak()
        with Datagrams.changed:
            Datagrams.seen.add(b"the program itself")
            Datagrams.changed.notify_all()
        stop.wait()
        tcp.shutdown()
        udp.shutdown()
    for server in servers:
        server.join(30)
    say(f"alive {threading.active_count() - 1}")


main()
