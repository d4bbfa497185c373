"""Threads that start, feed and wait for child processes."""
import os
import signal
import subprocess
import sys
import threading
import time

from checks import Took, check, peak, run, together


def run_returns_output_status_and_signal():
    done = subprocess.run(["sh", "-c", "tr a-z A-Z; echo to stderr >&2; exit 5"], input=b"shout",
                          capture_output=True, timeout=60)
    check((done.stdout, done.stderr, done.returncode) == (b"SHOUT", b"to stderr\n", 5), done)
    killed = subprocess.run(["sh", "-c", "kill -TERM $$"], timeout=60)
    check(killed.returncode == -signal.SIGTERM, killed)
    try:
        subprocess.run(["a program that does not exist"], timeout=60)
    except FileNotFoundError:
        return
    check(False, "a program that does not exist was started")


def pipes_carry_a_megabyte_both_ways():
    data = os.urandom(1 << 20)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as cat:
        def feed():
            with cat.stdin:
                cat.stdin.write(data)

        feeder = threading.Thread(target=feed)
        feeder.start()
        check(cat.stdout.read() == data, "what came back is not what was written")
        feeder.join(60)
        check(cat.wait(60) == 0, "cat failed")


def communicate_keeps_its_timeout():
    with subprocess.Popen(["sleep", "60"], stdout=subprocess.PIPE) as child:
        with Took(0.2, raises=subprocess.TimeoutExpired):
            child.communicate(timeout=0.2)
        with Took(0.2, raises=subprocess.TimeoutExpired):
            child.wait(0.2)
        check(child.poll() is None, "it is dead")
        child.kill()
        check(child.communicate(timeout=60) == (b"", None), "it printed something")
        check(child.returncode == -signal.SIGKILL, child.returncode)


def fifty_threads_have_a_child_each():
    def work(me):
        child = subprocess.Popen([sys.executable, "-S", "-E", "-c",
                                  "import sys; sys.stdin.readline();"
                                  "print(sys.argv[1] * 3); sys.exit(int(sys.argv[1]))", str(me)],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        with child:
            if started.wait(60) == 0:
                peak()
            started.wait(60)
            out, _ = child.communicate("go\n", timeout=60)
            check(out == str(me) * 3 + "\n" and child.returncode == me, out, child.returncode)

    started = threading.Barrier(50)
    together(50, work)


def shells_run_pipelines():
    def work(_):
        done = subprocess.run("printf 'b\\na\\nb\\nc\\n' | sort | uniq -c | sort -rn | head -n 1",
                              shell=True, capture_output=True, text=True, timeout=60)
        check(done.stdout.split() == ["2", "b"] and not done.stderr, done)

    together(10, work)
    first = subprocess.Popen(["seq", "100000"], stdout=subprocess.PIPE)
    second = subprocess.Popen(["tail", "-n", "1"], stdin=first.stdout, stdout=subprocess.PIPE)
    first.stdout.close()
    check(second.communicate(timeout=60)[0] == b"100000\n" and first.wait(60) == 0, "a pipeline")
    check(os.system("exit 3") == 3 << 8, "os.system lost the status")
    with os.popen("echo of a pipe") as pipe:
        check(pipe.read() == "of a pipe\n", "os.popen")


def a_function_runs_between_fork_and_exec():
    def work(me):
        done = subprocess.run(["sh", "-c", "echo $PPID; ulimit -n; umask"], capture_output=True,
                              text=True, timeout=60, preexec_fn=lambda: os.umask(me))
        parent, _, mask = done.stdout.split()
        check(int(parent) == os.getpid() and int(mask, 8) == me, done.stdout)

    together(10, work)


def forked(work):
    """Runs work() in a child and returns its number. What it returns becomes the exit status."""
    pid = os.fork()
    if pid == 0:
        status = 99
        try:
            status = work()
        finally:
            os._exit(status)
    return pid


def threads_fork_and_wait_for_their_own_child():
    def in_child(me):
        """A child has one thread and may start others."""
        check(threading.active_count() == 1, "threads were inherited")
        reader, writer = os.pipe()
        thread = threading.Thread(target=lambda: (time.sleep(0.01), os.write(writer, b"x")))
        thread.start()
        check(os.read(reader, 10) == b"x", "the thread of the child wrote nothing")
        thread.join(60)
        return me

    def work(me):
        for turn in range(3):
            pid = forked(lambda: in_child(me + turn))
            got, status = os.waitpid(pid, 0)
            check(got == pid and os.waitstatus_to_exitcode(status) == me + turn, got, status)

    together(20, work)


def threads_that_wait_for_any_child_get_one_each():
    reader, writer = os.pipe()
    children = {forked(lambda n=n: len(os.read(reader, 1)) * n): n for n in range(1, 21)}
    got, waiting = [], threading.Barrier(21)

    def work(me):
        waiting.wait(60)
        if me == 20:
            time.sleep(0.05)
            os.write(writer, b"x" * 20)
        else:
            got.append(os.wait())

    together(21, work)
    check({pid: os.waitstatus_to_exitcode(status) for pid, status in got} == children, got)
    try:
        os.wait()
    except ChildProcessError:
        os.close(reader)
        os.close(writer)
        return
    check(False, "there was one more child")


def a_wait_that_may_not_block_says_that_nobody_has_ended():
    reader, writer = os.pipe()
    pid = forked(lambda: len(os.read(reader, 1)))
    check(os.waitpid(pid, os.WNOHANG) == (0, 0), "it ended")
    os.write(writer, b"x")
    check(os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT).si_status == 1, "waitid")
    check(os.waitpid(pid, 0)[1] == 1 << 8, "waitpid")
    os.close(reader)
    os.close(writer)


run(run_returns_output_status_and_signal, pipes_carry_a_megabyte_both_ways,
    communicate_keeps_its_timeout, fifty_threads_have_a_child_each, shells_run_pipelines,
    a_function_runs_between_fork_and_exec, threads_fork_and_wait_for_their_own_child,
    threads_that_wait_for_any_child_get_one_each,
    a_wait_that_may_not_block_says_that_nobody_has_ended)
