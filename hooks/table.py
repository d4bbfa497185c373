#!/usr/bin/env python3
"""Writes down what is hooked, from the comments of the hooks themselves.

usage: table.py [--write] [ROOT]      without --write, checks that all is written as it would be

Each definition `COIR_HOOK ... name(...)` below hooks/ has above it, as the last line or among the
lines of its comment, one of the form

    /// hook: FAMILY: what it does, in one phrase

An alias (COIR_HOOK_ALIAS) takes the line of what it stands for, unless it has one. Two files are
written from these lines and from the maps of what is exported:

    docs/hooks.md                       the table between its markers
    hooks/launcher/hook_families.inc    the family of each name, for `coir doctor`

hooks/exports.map lists what both libraries export, hooks/preload.map what only the preloaded one
does besides. It is a mistake when a name is exported and has no line, or has one and is not.
"""

import argparse
import pathlib
import re
import sys
from dataclasses import dataclass

FAMILIES = ("sockets", "any descriptor", "several descriptors", "time", "names", "threads", "locks",
            "conditions", "semaphores", "signals", "processes", "stdio", "files", "async I/O",
            "system calls")
BEGIN, END = "<!-- hooks table: begin -->", "<!-- hooks table: end -->"

HOOK = re.compile(r"^COIR_HOOK\b(?P<head>[^;{(]*?)\b(?P<name>\w+)\s*\((?P<rest>[^;{]*)",
                  re.MULTILINE)
ALIAS = re.compile(r"COIR_HOOK_ALIAS\((\w+)\)")
LINE = re.compile(r"^\s*/// hook: (?P<family>[^:]+): (?P<phrase>\S.*?)\s*$")
LOOKS_LIKE_LINE = re.compile(r"^\s*//+\s*hook\s*:", re.IGNORECASE)


@dataclass
class Hook:
    name: str
    place: str  # file:line
    family: str = ""
    phrase: str = ""
    alias_of: str = ""


def comment_above(lines, index):
    """The comment lines that stand right above line `index`."""
    first = index
    while first > 0 and lines[first - 1].lstrip().startswith("//"):
        first -= 1
    return lines[first:index]


def hooks_in(path, text, problems):
    lines = text.split("\n")
    for match in HOOK.finditer(text):
        index = text.count("\n", 0, match.start())
        hook = Hook(match["name"], f"{path}:{index + 1}")
        alias = ALIAS.search(match["rest"])
        if alias:
            hook.alias_of = alias[1]
        for line in comment_above(lines, index):
            found = LINE.match(line)
            if found:
                hook.family, hook.phrase = found["family"], found["phrase"]
            elif LOOKS_LIKE_LINE.match(line):
                problems.append(f"{hook.place}: not of the form `/// hook: FAMILY: PHRASE`: {line}")
        yield hook


def read_hooks(root, problems):
    """All hooks by name, in the order of the files' names and of the lines in them."""
    hooks = {}
    for path in sorted((root / "hooks").rglob("*.cpp")):
        name = path.relative_to(root).as_posix()
        for hook in hooks_in(name, path.read_text(encoding="utf-8"), problems):
            before = hooks.get(hook.name)
            if before and before.phrase and hook.phrase:  # one for each processor is well
                if (before.family, before.phrase) != (hook.family, hook.phrase):
                    problems.append(f"{hook.place}: {hook.name} is described at {before.place} too")
            elif not before or not before.phrase:
                hooks[hook.name] = hook
    for hook in hooks.values():
        describe_alias(hook, hooks)
        if not hook.phrase:
            problems.append(f"{hook.place}: {hook.name} has no line `/// hook: FAMILY: PHRASE`")
        elif hook.family not in FAMILIES:
            problems.append(f"{hook.place}: {hook.name}: no family is called \"{hook.family}\"")
    return hooks


def describe_alias(hook, hooks):
    target, seen = hook, set()
    while not target.phrase and target.alias_of in hooks and target.name not in seen:
        seen.add(target.name)
        target = hooks[target.alias_of]
    hook.family, hook.phrase = target.family, target.phrase


def exported(path):
    """The hooks in a version script: its C names but coir's own."""
    if not path.is_file():
        return set()
    text = re.sub(r"/\*.*?\*/|#[^\n]*", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    text = re.sub(r'extern\s+"C\+\+"\s*\{[^}]*\}\s*;', "", text)
    names = re.search(r"global:(.*?)(?:local:|\})", text, re.DOTALL)
    found = re.findall(r"(\w+)\s*;", names[1]) if names else ()
    return {name for name in found if not name.startswith("coir_")}


def rows(hooks, linked):
    """Calls that do the same share a row; rows stand by family, then as in the sources."""
    groups = {}
    for hook in hooks.values():
        place = "both" if hook.name in linked else "preloaded"
        groups.setdefault((hook.family, hook.phrase, place), []).append(hook.name)
    ordered = sorted(groups.items(), key=lambda group: FAMILIES.index(group[0][0]))
    for (family, phrase, place), names in ordered:
        yield " ".join(f"`{name}`" for name in names), phrase, family, place


def table(hooks, linked):
    lines = ["| Calls | What waits, and how | Family | Where |", "|---|---|---|---|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows(hooks, linked)]
    return "\n".join(lines)


def with_table(text, new_table):
    before, _, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise SystemExit(f"docs/hooks.md has no lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{new_table}\n{END}{after}"


def families(hooks):
    lines = [f'    {{"{name}", "{hooks[name].family}"}},' for name in sorted(hooks)]
    return "// Written by hooks/table.py; run `./dev hooks-table`.\n" + "\n".join(lines) + "\n"


def settle(path, text, is_writing, problems):
    """Writes `text`, or holds the file against it."""
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return
    if is_writing:
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path}")
    else:
        problems.append(f"{path} is not what the sources say; run ./dev hooks-table")


def main(root, is_writing):
    problems = []
    hooks = read_hooks(root, problems)
    linked = exported(root / "hooks/exports.map")
    preloaded = linked | exported(root / "hooks/preload.map")
    if not linked:
        problems.append("hooks/exports.map lists no names")
    for name in sorted(preloaded - hooks.keys()):
        problems.append(f"{name} is exported, and no COIR_HOOK of that name has a line about it")
    for name in sorted(hooks.keys() - preloaded):
        problems.append(f"{hooks[name].place}: {name} is a hook that no map exports")
    if not problems:
        docs = root / "docs/hooks.md"
        new_docs = with_table(docs.read_text(encoding="utf-8"), table(hooks, linked))
        settle(docs, new_docs, is_writing, problems)
        settle(root / "hooks/launcher/hook_families.inc", families(hooks), is_writing, problems)
    for problem in problems:
        print(problem)
    print(f"{len(problems)} problem(s)" if problems else f"{len(hooks)} hooks, all written down")
    return 1 if problems else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--write", action="store_true", help="write the two files")
    parser.add_argument("root", nargs="?", type=pathlib.Path,
                        default=pathlib.Path(__file__).resolve().parents[1])
    arguments = parser.parse_args()
    sys.exit(main(arguments.root, arguments.write))
