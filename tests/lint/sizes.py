#!/usr/bin/env python3
"""Reports how long the files are. A guide and not a gate: it never fails.

usage: sizes.py [ROOT]
"""

import pathlib
import statistics
import sys

from tree import CODE_FOLDERS, Tree

LONG_FILE = 500


def line_counts(tree, folder):
    return {path: tree.text(path).count("\n") for path in tree.files((folder,))}


def describe(folder, counts):
    if not counts:
        return f"{folder}: no files"
    median = round(statistics.median(counts.values()))
    return f"{folder}: {len(counts)} files, median {median} lines, longest {max(counts.values())}"


def main(root):
    tree = Tree(root)
    for folder in CODE_FOLDERS:
        counts = line_counts(tree, folder)
        print(describe(folder, counts))
        for path, count in sorted(counts.items()):
            if count > LONG_FILE:
                print(f"  {path}: {count} lines, more than {LONG_FILE}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parents[2])
