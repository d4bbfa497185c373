"""The glib_loop example: GLib's timer and an echo server of fibers on one thread."""

import resource
import socket
import time

from driver import PATIENCE_S, ExampleTest, Server, main, run

MODES = ((), ("--in-fiber",))


def cpu_of_children():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class GlibLoopTest(ExampleTest):
    def test_clients_are_served_between_the_ticks(self):
        for mode in MODES:
            with self.subTest(mode=mode), Server("glib_loop", *mode, "--ticks", "15") as server:
                address = ("127.0.0.1", server.port)
                clients = [socket.create_connection(address, PATIENCE_S) for _ in range(20)]
                for turn in range(10):
                    for client in clients:
                        client.sendall(b"hello %d" % turn)
                    for client in clients:
                        self.assertEqual(client.recv(100), b"hello %d" % turn)
                for client in clients:
                    client.close()
                lines = server.lines_to_end(PATIENCE_S)
                self.assertEqual(lines[-1], "bye")
                self.assertEqual([line.startswith("tick") for line in lines[:-1]], 15 * [True])
                self.assertEqual(server.process.wait(PATIENCE_S), 0)

    def test_it_does_not_spin_while_nothing_happens(self):
        for mode in MODES:
            with self.subTest(mode=mode):
                began, cpu_before = time.monotonic(), cpu_of_children()
                self.assertEqual(run("glib_loop", *mode, "--ticks", "15").returncode, 0)
                cpu = cpu_of_children() - cpu_before
                self.assertLess(cpu, 0.5 * (time.monotonic() - began))

    def test_usage(self):
        self.assert_usage("glib_loop")


if __name__ == "__main__":
    main()
