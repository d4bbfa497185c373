#!/usr/bin/env python3
"""Floors: a file includes its own folder and lower floors only, and no components form a circle.

usage: floors.py [ROOT]

A component is a header together with the source that implements it. A public header belongs to the
floor that implements it: the table below names the floor of each, and a header that is missing
from it is a problem too.
"""

import pathlib
import sys

from tree import PUBLIC_ROOTS, Tree, report

FLOORS = {
    "runtime/base": 0,
    "runtime/kernel": 1,
    "runtime/fiber": 2,
    "runtime/reactor": 3,
    "runtime/sched": 4,
    "runtime/sync": 5,
    "runtime/io": 6,
    "runtime/task": 7,
    "runtime/diag": 8,
    "runtime/system": 8,
    "runtime": 9,  # runtime.cpp, which puts the floors together
    "net": 10,
    "hooks": 10,
}

# Which folder implements each public header of the runtime.
RUNTIME_HEADERS = {
    "export.hpp": "runtime/base",
    "exceptions.hpp": "runtime/base",
    "detail/any_call.hpp": "runtime/base",
    "detail/clock.hpp": "runtime/base",
    "clock.hpp": "runtime/base",
    "detail/remote_call.hpp": "runtime/base",
    "detail/iterable.hpp": "runtime/base",
    "detail/reference_count.hpp": "runtime/base",
    "detail/short_lock.hpp": "runtime/kernel",
    "detail/owned.hpp": "runtime/base",
    "detail/timer_node.hpp": "runtime/base",
    "detail/interruption.hpp": "runtime/fiber",
    "detail/stretch.hpp": "runtime/fiber",
    "detail/waiter.hpp": "runtime/fiber",
    "detail/observer.hpp": "runtime/sync",
    "detail/countdown.hpp": "runtime/sync",
    "detail/future_state.hpp": "runtime/sync",
    "detail/wait_queue.hpp": "runtime/sync",
    "barrier.hpp": "runtime/sync",
    "condition_variable.hpp": "runtime/sync",
    "event.hpp": "runtime/sync",
    "future.hpp": "runtime/sync",
    "latch.hpp": "runtime/sync",
    "mutex.hpp": "runtime/sync",
    "once.hpp": "runtime/sync",
    "recursive_mutex.hpp": "runtime/sync",
    "semaphore.hpp": "runtime/sync",
    "shared_mutex.hpp": "runtime/sync",
    "wait_group.hpp": "runtime/sync",
    "worker_options.hpp": "runtime/task",
    "workers.hpp": "runtime/task",
    "replay.hpp": "runtime/task",
    "offload.hpp": "runtime/io",
    "detail/offload_job.hpp": "runtime/io",
    "detail/stream_socket.hpp": "runtime/io",
    "detail/context_state.hpp": "runtime/task",
    "detail/generator_state.hpp": "runtime/task",
    "detail/inherited_key.hpp": "runtime/task",
    "detail/local_key.hpp": "runtime/task",
    "detail/result_feed.hpp": "runtime/task",
    "detail/roster.hpp": "runtime/task",
    "detail/task.hpp": "runtime/task",
    "detail/basic_queue.hpp": "runtime/task",
    "detail/case_list.hpp": "runtime/task",
    "detail/item_range.hpp": "runtime/task",
    "detail/item_store.hpp": "runtime/task",
    "detail/passing_case.hpp": "runtime/task",
    "detail/queue_core.hpp": "runtime/task",
    "detail/queue_state.hpp": "runtime/task",
    "detail/select_case.hpp": "runtime/task",
    "any_fiber.hpp": "runtime/task",
    "basic_group.hpp": "runtime/task",
    "channel.hpp": "runtime/task",
    "context.hpp": "runtime/task",
    "fiber.hpp": "runtime/task",
    "fiber_local.hpp": "runtime/task",
    "generator.hpp": "runtime/task",
    "group.hpp": "runtime/task",
    "handlers.hpp": "runtime/task",
    "imap_range.hpp": "runtime/task",
    "inherited.hpp": "runtime/task",
    "mapping.hpp": "runtime/task",
    "no_kill.hpp": "runtime/task",
    "pool.hpp": "runtime/task",
    "queue.hpp": "runtime/task",
    "scope.hpp": "runtime/task",
    "thread_pool.hpp": "runtime/task",
    "timeout.hpp": "runtime/task",
    "wait.hpp": "runtime/task",
    "dump.hpp": "runtime/diag",
    "blocking.hpp": "runtime/diag",
    "metrics.hpp": "runtime/diag",
    "assert_switches.hpp": "runtime/diag",
    "select.hpp": "runtime/task",
    "foreign_loop.hpp": "runtime/sched",
    "directory_walk.hpp": "runtime/system",
    "file.hpp": "runtime/system",
    "poller.hpp": "runtime/system",
    "process.hpp": "runtime/system",
    "process_options.hpp": "runtime/system",
    "signal_set.hpp": "runtime/system",
    "system.hpp": "runtime/system",
    "runtime.hpp": "runtime",
    "coir.h": "runtime",
    "coir.hpp": "runtime",
}

# It fits coir's streams into the algorithms of programs that use Boost themselves; <coir/net.hpp>
# leaves it out.
HEADERS_FOR_BOOST = ("net/include/coir/net/asio.hpp",)
CHECKED = ("runtime", "net", "hooks")


def folder_of(path):
    """The folder of FLOORS that a file belongs to, or None."""
    for root in PUBLIC_ROOTS:
        if path.startswith(root + "/coir/"):
            if root != "runtime/include":
                return root.split("/")[0]
            return RUNTIME_HEADERS.get(path[len(root + "/coir/"):])
    folder = pathlib.PurePosixPath(path).parent
    for candidate in (folder, *folder.parents):
        if str(candidate) in FLOORS:
            # Only files directly in runtime/ are on its floor; a new folder there needs a number.
            is_new_folder = str(candidate) == "runtime" and candidate != folder
            return None if is_new_folder else str(candidate)
    return None


def component_of(path):
    """A header and its source share a component: the path in their floor without the ending."""
    folder = folder_of(path)
    if path.startswith(tuple(root + "/coir/" for root in PUBLIC_ROOTS)):
        return f"{folder}/{pathlib.PurePosixPath(path).stem}"
    return str(pathlib.PurePosixPath(path).with_suffix(""))


def unplaced_files(tree, paths):
    return [f"{path}: no floor is known for this file" for path in paths if folder_of(path) is None]


def included_files(tree, path):
    """Pairs of include and the file of this tree that it means."""
    for include in tree.includes(path):
        target = tree.resolve(include)
        if target is not None:
            yield include, target


def floor_problems(tree, path):
    own = folder_of(path)
    for include, target in included_files(tree, path):
        other = folder_of(target)
        if own is None or other is None or other == own or FLOORS[other] < FLOORS[own]:
            continue
        floors = f"{own} (floor {FLOORS[own]}) includes {other} (floor {FLOORS[other]})"
        yield f"{path}:{include.line}: {floors}: {target}"


def unresolved_includes(tree, path):
    """A quoted include names a file from the repository root; a coir header must exist."""
    for include in tree.includes(path):
        is_ours = include.quoted or include.name.startswith("coir/")
        if is_ours and tree.resolve(include) is None:
            yield f"{path}:{include.line}: {include.name} is not in the tree"


def public_header_problems(tree, path):
    """Public headers include public and standard headers only, but for those made for Boost."""
    allowed = ("boost/",) if path in HEADERS_FOR_BOOST else ()
    for include in tree.includes(path):
        foreign = include.name.startswith(("boost/", "liburing"))
        foreign = foreign and not include.name.startswith(allowed)
        if include.quoted or foreign:
            yield f"{path}:{include.line}: a public header includes {include.name}"


def component_graph(tree, paths):
    graph = {}
    for path in paths:
        edges = graph.setdefault(component_of(path), set())
        for _, target in included_files(tree, path):
            if folder_of(target) is not None:
                edges.add(component_of(target))
        edges.discard(component_of(path))
    return graph


def circles(graph):
    """Each circle of the graph once, as a list of components."""
    found, done, trail = [], set(), []

    def visit(node):
        if node in trail:
            found.append(trail[trail.index(node):] + [node])
            return
        if node in done:
            return
        trail.append(node)
        for target in sorted(graph.get(node, ())):
            visit(target)
        trail.pop()
        done.add(node)

    for node in sorted(graph):
        visit(node)
    return found


def problems(root):
    tree = Tree(root)
    paths = tree.files(CHECKED)
    found = unplaced_files(tree, paths)
    for path in paths:
        found += floor_problems(tree, path)
        found += unresolved_includes(tree, path)
    for path in tree.public_headers():
        found += public_header_problems(tree, path)
    found += ["circle: " + " -> ".join(circle) for circle in circles(component_graph(tree, paths))]
    return found


if __name__ == "__main__":
    default_root = pathlib.Path(__file__).resolve().parents[2]
    sys.exit(report(problems(sys.argv[1] if len(sys.argv) > 1 else default_root)))
