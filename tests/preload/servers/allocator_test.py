"""Allocators that are preloaded beside coir, each before and after coir's library."""

import functools
import pathlib
import subprocess
import sysconfig

import harness
from harness import check

FOLDERS = ("/usr/lib/" + (sysconfig.get_config_var("MULTIARCH") or ""), "/usr/lib64", "/usr/lib")
# With background threads jemalloc makes threads of its own, past whoever hooks pthread_create.
ALLOCATORS = (
    ("jemalloc", "libjemalloc.so.2", {}),
    ("jemalloc with background threads", "libjemalloc.so.2",
     {"MALLOC_CONF": "background_thread:true"}),
    ("tcmalloc_minimal", "libtcmalloc_minimal.so.4", {}),
    ("tcmalloc", "libtcmalloc.so.4", {}),
    ("mimalloc", "libmimalloc.so.2.0", {}),
)
WAVES = 2
THREADS = 200


def find(name):
    for folder in FOLDERS:
        path = pathlib.Path(folder, name)
        if path.exists():
            return str(path)
    return harness.skip(f"{name} is not installed")


PATHS = {name: find(name) for _, name, _ in ALLOCATORS}


def stress(at):
    return (at.program("preload_servers_allocator_stress"), str(WAVES), str(THREADS))


@functools.cache
def natively(command):
    """What the program says natively: sums, which are the same in each run."""
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def check_run(at, output):
    check(f"{WAVES * THREADS} threads" in output, output)
    expected = natively(stress(at))
    check(output == expected, f"natively: {expected}here: {output}")


def without(at):
    check_run(at, at.run(stress(at)))


def behind(name, environment):
    """The launcher puts its library in front of what is preloaded already."""
    return lambda at: check_run(at, at.run(stress(at), LD_PRELOAD=PATHS[name], **environment))


def in_front(name, environment):
    """A shell under the launcher puts the allocator in front of the launcher's library."""

    def case(at):
        script = 'LD_PRELOAD="$0${LD_PRELOAD:+:$LD_PRELOAD}" exec "$@"'
        check_run(at, at.run(["/bin/sh", "-c", script, PATHS[name], *stress(at)], **environment))

    return case


def cases():
    result = {"the program's threads pass memory around with glibc's allocator": without}
    for title, name, environment in ALLOCATORS:
        result[f"so they do with {title} behind coir's library"] = behind(name, environment)
        result[f"so they do with {title} in front of coir's library"] = in_front(name, environment)
    return result


harness.main(__doc__, cases())
