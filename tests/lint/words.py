#!/usr/bin/env python3
"""What must not stand in the tree: unfinished marks, paths of one machine, tabs, overlong lines.

usage: words.py [ROOT]
"""

import pathlib
import re
import sys

from tree import CODE_SUFFIXES, Tree, report

LONGEST_LINE = 100

FOLDERS = ("runtime", "net", "hooks", "bench", "examples", "tests", "docs", "cmake", ".ci")
TOP_FILES = ("README.md", "CHANGELOG.md", "CMakeLists.txt", "CMakePresets.json", "dev")
PROSE_SUFFIXES = (".md",)
OTHER_SUFFIXES = (".py", ".cmake", ".txt", ".sh", ".in", ".json", ".map", "run")
SUFFIXES = CODE_SUFFIXES + PROSE_SUFFIXES + OTHER_SUFFIXES
# These quote what is forbidden.
WITH_EXAMPLES = ("tests/lint/words.py", "tests/lint/lint_test.py")

# A mark for later must say its kind and its end: TODO(perf): until ...
FORBIDDEN = (
    (re.compile(r"\bTODO\b(?!\([a-z]+\): until )"), "TODO without a kind and an end"),
    (re.compile(r"\b(?:FIXME|XXX|HACK)\b"), "an unfinished mark"),
    (re.compile(r"(?<![\w/])/(?:home|root|work)/\w"), "a path of one machine"),
    (re.compile(r"\b(?:issue|ticket|pull request) #?\d+\b", re.IGNORECASE), "a tracker's number"),
    (re.compile(r"\t"), "a tab"),
    (re.compile(r"[ \r]$"), "a space at the end of a line"),
)


def line_problems(path, number, line):
    for pattern, what in FORBIDDEN:
        if pattern.search(line):
            yield f"{path}:{number}: {what}"
    is_prose = path.endswith(PROSE_SUFFIXES)  # tables and links do not break
    if len(line) > LONGEST_LINE and not is_prose:
        yield f"{path}:{number}: {len(line)} columns, more than {LONGEST_LINE}"


def problems(root):
    tree = Tree(root)
    paths = tree.files(FOLDERS, SUFFIXES) + [path for path in TOP_FILES if tree.exists(path)]
    found = []
    for path in paths:
        if path not in WITH_EXAMPLES:
            for number, line in enumerate(tree.text(path).split("\n"), 1):
                found += line_problems(path, number, line)
    return found


if __name__ == "__main__":
    default_root = pathlib.Path(__file__).resolve().parents[2]
    sys.exit(report(problems(sys.argv[1] if len(sys.argv) > 1 else default_root)))
