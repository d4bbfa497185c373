#!/usr/bin/env python3
"""Uses the installed package as a stranger would. Each check is one test of CTest.

usage: package_test.py CHECK --source DIR --build DIR --folder DIR --compiler PATH --libdir NAME

`install` comes first: it installs below the folder and then moves the result, so that everything
after it also shows that the package may be moved.
"""

import argparse
import os
import pathlib
import re
import resource
import shutil
import subprocess
import sys

README_OUTPUT = "49000"
SLOWEST_RATIO = 1.5
# For programs that use Boost themselves: it fits coir's streams into Asio's algorithms.
HEADERS_FOR_BOOST = ("asio.hpp",)
FEWEST_COMPILATIONS = 5
MOST_COMPILATIONS = 40

KINDS = r"(?:(?:vtable|typeinfo|typeinfo name|guard variable|VTT) for |(?:non-)?virtual thunk to )?"
OURS = re.compile(rf"^{KINDS}(?:coir(?:::|_)|std::hash<coir::)")


def run(*command, env=None, cwd=None):
    """Runs a command and returns its output; its failure ends the test and shows the output."""
    environment = {**os.environ, **(env or {})}
    done = subprocess.run([str(part) for part in command], env=environment, cwd=cwd, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=280)
    if done.returncode != 0:
        words = " ".join(str(part) for part in command)
        sys.exit(f"{words}: code {done.returncode}\n{done.stdout}")
    return done.stdout


def expect(condition, message):
    if not condition:
        sys.exit(message)


class Package:
    """Where things are."""

    def __init__(self, arguments):
        self.source = pathlib.Path(arguments.source)
        self.build = pathlib.Path(arguments.build)
        self.folder = pathlib.Path(arguments.folder)
        self.compiler = arguments.compiler
        self.prefix = self.folder / "moved"
        self.include = self.prefix / "include"
        self.library = self.prefix / arguments.libdir
        self.consumer = self.source / "tests/package/consumer"

    def readme_program(self):
        """The first C++ program of the README, as a file."""
        text = (self.source / "README.md").read_text(encoding="utf-8")
        program = re.search(r"^```cpp\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        expect(program, "the README has no C++ program")
        file = self.folder / "readme.cpp"
        file.write_text(program[1], encoding="utf-8")
        return file

    def build_consumer(self, name, program, components, libraries):
        """Configures and builds the outside project; returns its program."""
        build = self.folder / name
        shutil.rmtree(build, ignore_errors=True)
        run("cmake", "-S", self.consumer, "-B", build, "-G", "Ninja",
            f"-DCMAKE_CXX_COMPILER={self.compiler}", f"-DCMAKE_PREFIX_PATH={self.prefix}",
            f"-DPROGRAM={program}", f"-DCOIR_COMPONENTS={components}",
            f"-DCOIR_LIBRARIES={libraries}")
        run("cmake", "--build", build)
        return build / "consumer"


def install(package):
    shutil.rmtree(package.folder, ignore_errors=True)
    first = package.folder / "first"
    run("cmake", "--install", package.build, "--prefix", first)
    first.rename(package.prefix)
    headers_of_parts = [f"include/coir/{part}.hpp" for part in ("coir", "net", "hooks")]
    for file in (*headers_of_parts, "bin/coir"):
        expect((package.prefix / file).is_file(), f"{file} was not installed")
    for name in ("coir", "coir_net", "coir_hooks"):
        expect((package.library / f"lib{name}.so").is_symlink(), f"lib{name}.so has no version")


def shared_consumer(package):
    program = package.readme_program()
    output = run(package.build_consumer("shared", program, "coir", "coir::coir"))
    expect(README_OUTPUT in output, f"the README's program printed {output!r}")
    parts = package.consumer / "all_parts.cpp"
    libraries = "coir::hooks;coir::net;coir::coir"
    print(run(package.build_consumer("all_parts", parts, "coir;net;hooks", libraries)))


def static_consumer(package):
    program = package.build_consumer("static", package.readme_program(), "static", "coir::static")
    expect("libcoir" not in run("ldd", program), "the program still needs libcoir.so")
    output = run(program)
    expect(README_OUTPUT in output, f"the README's program printed {output!r}")
    parts = package.consumer / "network.cpp"
    program = package.build_consumer("net_static", parts, "net_static", "coir::net_static")
    expect("libcoir" not in run("ldd", program), "the program still needs libcoir_net.so")
    print(run(program))


def pkg_config(package):
    env = {"PKG_CONFIG_PATH": str(package.library / "pkgconfig")}
    for name in ("coir", "coir-net"):
        flags = run("pkg-config", "--cflags", "--libs", name, env=env).split()
        program = package.folder / f"by_pkg_config_{name}"
        run(package.compiler, "-std=c++20", package.readme_program(), "-o", program, *flags)
        output = run(program, env={"LD_LIBRARY_PATH": str(package.library)})
        expect(README_OUTPUT in output, f"the README's program printed {output!r}")


def exports(package):
    """The shared libraries export coir's symbols only."""
    for name in ("coir", "coir_net"):
        symbols = run("nm", "-DC", "--defined-only", package.library / f"lib{name}.so").splitlines()
        names = [symbol.split(maxsplit=2)[2] for symbol in symbols]
        foreign = [each for each in names if not OURS.match(each)]
        expect(names, f"lib{name}.so exports nothing")
        expect(not foreign, f"lib{name}.so exports what is not coir's: " + "; ".join(foreign))
        print(f"lib{name}.so: {len(names)} symbols")


def headers(package):
    """Each public header compiles alone and twice, and none mentions liburing, nghttp2 or OpenSSL,
    or Boost but for those that are made for it."""
    every = sorted(package.include.rglob("*.hpp")) + sorted(package.include.rglob("*.h"))
    expect(every, "no headers were installed")
    for header in every:
        text = header.read_text(encoding="utf-8").lower()
        is_for_boost = header.name in HEADERS_FOR_BOOST
        ours = ("liburing", "nghttp2", "<openssl/")
        for word in ours if is_for_boost else ("boost", *ours):
            expect(word not in text, f"{header} mentions {word}")
        run(package.compiler, "-std=c++20", "-Wall", "-Wextra", "-Wshadow", "-Werror",
            "-fsyntax-only", "-I", package.include, "-include", header, "-include", header,
            "-x", "c++", "/dev/null")
    print(f"{len(every)} headers compile alone")


def launcher(package):
    coir = package.prefix / "bin/coir"
    print(run(coir, "--version"))
    expect("here" in run(coir, "run", "--", "echo", "here"), "coir run lost the program's output")


def compile_time(package):
    """Fibers against threads, by the best of some compilations, taken in turns: what other work on
    the machine disturbs least. Where it disturbs more, it takes more of them to tell."""
    best = {"hello_fibers": None, "hello_threads": None}
    for repeat in range(1, MOST_COMPILATIONS + 1):
        for name, before in best.items():
            seconds = processor_time(
                package.compiler, "-std=c++20", "-c", "-I", package.include,
                package.source / f"tests/package/{name}.cpp", "-o", "/dev/null")
            best[name] = seconds if before is None else min(before, seconds)
        fibers, threads = best.values()
        ratio = fibers / threads
        if repeat >= FEWEST_COMPILATIONS and ratio <= SLOWEST_RATIO:
            break
    print(f"compile time: {fibers:.2f} s; with threads {threads:.2f} s; ratio {ratio:.2f}")
    expect(ratio <= SLOWEST_RATIO, f"more than {SLOWEST_RATIO} times as long as with threads")


def processor_time(*command):
    """What a command and its children use, in seconds. Without the kernel's part: opening a header
    is nearly free on one machine and costs as much as compiling it in the sandbox of another."""
    begin = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    run(*command)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - begin


CHECKS = (install, shared_consumer, static_consumer, pkg_config, exports, headers, launcher,
          compile_time)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("check", choices=[check.__name__ for check in CHECKS])
    for name in ("source", "build", "folder", "compiler", "libdir"):
        parser.add_argument(f"--{name}", required=True)
    arguments = parser.parse_args()
    next(check for check in CHECKS if check.__name__ == arguments.check)(Package(arguments))
    print("ok")


if __name__ == "__main__":
    main()
