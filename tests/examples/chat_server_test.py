"""The chat_server example, with guests on plain sockets."""

import contextlib
import signal
import socket

from driver import PATIENCE_S, ExampleTest, Server, main, run


class Guest:
    """A connection whose lines are read one by one."""

    def __init__(self, server, name=None):
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S)
        self.file = self.socket.makefile("r", encoding="utf-8", newline="\n")
        self.greeting = self.line()
        if name:
            self.say(name)
            self.greeting = self.line()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    def say(self, *lines):
        self.socket.sendall("".join(line + "\n" for line in lines).encode())

    def line(self):
        """The next line; an empty one at the end."""
        return self.file.readline().removesuffix("\n")


class ChatServerTest(ExampleTest):
    def test_guests_of_a_room_hear_each_other_and_nobody_else(self):
        with Server("chat_server") as server, Guest(server, "ann") as ann:
            self.assertEqual(ann.greeting, "hello ann, this is the lobby: ann")
            with Guest(server, "bob") as bob, Guest(server, "cem") as cem:
                self.assertEqual([ann.line(), ann.line()], ["bob came", "cem came"])
                self.assertEqual(bob.line(), "cem came")
                ann.say("hello all")
                self.assertEqual([bob.line(), cem.line()], 2 * ["ann: hello all"])
                cem.say("/join attic", "anybody?", "/who")
                self.assertEqual([cem.line(), cem.line()], 2 * ["in attic: cem"])
                self.assertEqual([ann.line(), bob.line()], 2 * ["cem left"])
                bob.say("/join attic")
                self.assertEqual(bob.line(), "in attic: bob cem")
                self.assertEqual(cem.line(), "bob came")
                self.assertEqual(ann.line(), "bob left")
                bob.say("/quit")
                self.assertEqual([bob.line(), bob.line()], ["bye", ""])
                self.assertEqual(cem.line(), "bob left")

    def test_names_are_good_and_no_two_are_the_same(self):
        with Server("chat_server") as server, Guest(server, "ann"), Guest(server) as other:
            self.assertEqual(other.greeting, "what is your name?")
            other.say("ann")
            self.assertEqual(other.line(), "ann is here already; another name?")
            other.say("two words")
            self.assertTrue(other.line().startswith("a name has"))
            other.say("bob\r", "/dance")
            self.assertEqual(other.line(), "hello bob, this is the lobby: ann bob")
            self.assertEqual(other.line(), "there are /join ROOM, /who and /quit")

    def test_one_who_does_not_read_holds_nobody_up_and_is_shown_out(self):
        with Server("chat_server") as server, Guest(server, "deaf") as deaf, \
                Guest(server, "ann") as ann, Guest(server, "bob") as bob:
            ann.line()  # bob came
            text = 4000 * "x"
            is_out = False
            for number in range(20_000):  # more than all buffers and the queue can hold
                ann.say(f"{number} {text}")
                line = bob.line()
                if line == "deaf left":
                    is_out = True
                    line = bob.line()
                self.assertEqual(line, f"ann: {number} {text}")
                if is_out:
                    break
            self.assertTrue(is_out)
            self.assertEqual(ann.line(), "deaf left")
            with contextlib.suppress(ConnectionError):
                while deaf.line():
                    pass

    def test_signals_end_it_once_everybody_was_told(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with Server("chat_server") as server, contextlib.ExitStack() as stack:
                guests = [stack.enter_context(Guest(server, f"g{i}")) for i in range(3)]
                guests[0].line(), guests[0].line(), guests[1].line()
                self.assertEqual(server.stop(number), 0)
                self.assertEqual(server.line(PATIENCE_S), "served 3 guests")
                for guest in guests:
                    self.assertEqual(guest.line(), "the house closes")

    def test_more_guests_than_allowed_wait_outside(self):
        with Server("chat_server", "--guests", "1") as server, Guest(server, "ann") as ann:
            with socket.create_connection(("127.0.0.1", server.port), timeout=0.2) as other:
                with self.assertRaises(TimeoutError):
                    other.recv(1)
                ann.say("/quit")
                other.settimeout(PATIENCE_S)
                self.assertEqual(other.recv(100), b"what is your name?\n")

    def test_usage(self):
        self.assert_usage("chat_server")
        self.assertEqual(run("chat_server", "--guests", "0").returncode, 2)


if __name__ == "__main__":
    main()
