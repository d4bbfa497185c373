"""The source tree as the checks see it: which files there are, and what they include."""

import pathlib
import re
from dataclasses import dataclass

CODE_FOLDERS = ("runtime", "net", "hooks", "bench", "examples", "tests")
PUBLIC_ROOTS = ("runtime/include", "net/include", "hooks/include")
CODE_SUFFIXES = (".hpp", ".h", ".cpp", ".c")

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)


@dataclass(frozen=True)
class Include:
    line: int
    quoted: bool
    name: str


class Tree:
    """A checkout. Paths are strings relative to its root, with forward slashes."""

    def __init__(self, root):
        self.root = pathlib.Path(root)

    def text(self, path):
        return (self.root / path).read_text(encoding="utf-8")

    def exists(self, path):
        return (self.root / path).is_file()

    def files(self, folders=CODE_FOLDERS, suffixes=CODE_SUFFIXES):
        """Every file below `folders` that ends in one of `suffixes`, sorted."""
        found = []
        for folder in folders:
            for path in (self.root / folder).rglob("*"):
                if path.is_file() and path.name.endswith(tuple(suffixes)):
                    found.append(path.relative_to(self.root).as_posix())
        return sorted(found)

    def public_headers(self):
        return self.files(PUBLIC_ROOTS, (".hpp", ".h"))

    def includes(self, path):
        text = self.text(path)
        return [
            Include(text.count("\n", 0, match.start()) + 1, match[1] == '"', match[2])
            for match in INCLUDE.finditer(text)
        ]

    def resolve(self, include):
        """The file of this tree that an include means, or None for somebody else's header."""
        roots = ("",) if include.quoted else tuple(root + "/" for root in PUBLIC_ROOTS)
        for root in roots:
            if self.exists(root + include.name):
                return root + include.name
        return None


def report(problems):
    """Prints the problems; returns the exit code."""
    for problem in problems:
        print(problem)
    print(f"{len(problems)} problem(s)" if problems else "ok")
    return 1 if problems else 0
