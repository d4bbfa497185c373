"""The producer_consumer example."""

from driver import ExampleTest, main, run

PLACES = 5


class ProducerConsumerTest(ExampleTest):
    def test_all_items_arrive_in_order(self):
        result = run("producer_consumer", "--items", "30", "--pause", "0.001")
        self.assertEqual(result.returncode, 0, result.stderr)
        got = [int(line.split()[1]) for line in result.stdout.splitlines() if "got" in line]
        self.assertEqual(got, list(range(1, 31)))

    def test_the_producer_waits_when_the_queue_is_full(self):
        lines = run("producer_consumer", "--items", "30", "--pause", "0.001").stdout.splitlines()
        self.assertTrue(any("after waiting for room" in line for line in lines))
        ahead = 0
        for line in lines[:-1]:
            ahead += 1 if line.startswith("put") else -1
            self.assertLessEqual(ahead, PLACES + 1)  # one may be on its way to the consumer
        self.assertEqual(lines[-1], f"30 items, sum 465, at most {PLACES} waiting")

    def test_usage(self):
        self.assert_usage("producer_consumer")
        self.assertEqual(run("producer_consumer", "--items", "0").returncode, 2)
        self.assertEqual(run("producer_consumer", "--pause", "soon").returncode, 2)


if __name__ == "__main__":
    main()
