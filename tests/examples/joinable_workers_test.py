"""The joinable_workers example."""

import re

from driver import ExampleTest, main, run


def tasks_by_worker(output):
    """{worker: [task, ...]} as the workers reported them."""
    done = {}
    for worker, task in re.findall(r"^worker (\d+) did task (\d+)$", output, re.MULTILINE):
        done.setdefault(int(worker), []).append(int(task))
    return done


class JoinableWorkersTest(ExampleTest):
    def test_every_task_is_done_once_before_join_returns(self):
        result = run("joinable_workers", "--workers", "3", "--tasks", "50", "--work", "0.001")
        self.assertEqual(result.returncode, 0, result.stderr)
        done = tasks_by_worker(result.stdout)
        self.assertEqual(sorted(sum(done.values(), [])), list(range(1, 51)))
        self.assertRegex(result.stdout.splitlines()[-1], r"^50 tasks done in \d+\.\d+ s$")

    def test_all_workers_take_part(self):
        done = tasks_by_worker(run("joinable_workers", "--workers", "5", "--tasks", "20").stdout)
        self.assertEqual(sorted(done), [1, 2, 3, 4, 5])

    def test_they_work_at_the_same_time(self):
        output = run("joinable_workers", "--workers", "20", "--tasks", "40",
                     "--work", "0.1").stdout
        seconds = float(re.search(r"done in (\S+) s", output)[1])
        self.assertGreaterEqual(seconds, 0.2)
        self.assertLess(seconds, 2)  # one after the other would take 4

    def test_without_tasks_join_returns_at_once(self):
        result = run("joinable_workers", "--tasks", "0")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertTrue(result.stdout.startswith("0 tasks done in 0.0"), result.stdout)

    def test_usage(self):
        self.assert_usage("joinable_workers")
        self.assertEqual(run("joinable_workers", "--workers", "0").returncode, 2)
        self.assertEqual(run("joinable_workers", "more").returncode, 2)


if __name__ == "__main__":
    main()
