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
            with self.subTest(mode=mode), \
                    Server("glib_loop", *mode, "--ticks", "100000") as server:
                address = ("127.0.0.1", server.port)
                clients = [socket.create_connection(address, PATIENCE_S) for _ in range(20)]
                for turn in range(10):
                    for client in clients:
                        client.sendall(b"hello %d" % turn)
                    for client in clients:
                        self.assertEqual(client.recv(100), b"hello %d" % turn)
                for client in clients:
                    client.close()
                for _ in range(3):
                    self.assertRegex(server.line(PATIENCE_S), "^tick, ")

    def test_it_ticks_so_often_and_does_not_spin_meanwhile(self):
        for mode in MODES:
            with self.subTest(mode=mode):
                began, cpu_before = time.monotonic(), cpu_of_children()
                done = run("glib_loop", *mode, "--ticks", "15")
                cpu = cpu_of_children() - cpu_before
                self.assertEqual(done.returncode, 0)
                lines = done.stdout.splitlines()[1:]
                self.assertEqual([line[:4] for line in lines], 15 * ["tick"] + ["bye"])
                self.assertLess(cpu, 0.5 * (time.monotonic() - began))

    def test_usage(self):
        self.assert_usage("glib_loop")


if __name__ == "__main__":
    main()
