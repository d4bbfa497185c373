#!/usr/bin/env python3
"""Every public declaration is documented: `///` lines stand right before it, or `///<` behind it.

usage: documented.py [ROOT]

Checked are the public headers outside coir/detail/: what they declare at namespace scope, public
members, and enumerators. One comment may serve several overloads that follow it without an empty
line. Exempt is what says nothing of its own: forward declarations, the later definition of a
documented function, friends, using-directives and declarations, static_assert, `= default`,
`= delete`, special members (the comment of the class says how it begins and ends),
specialisations of other people's templates, namespaces called detail. This is a scanner for the
C++ that coir writes, not a parser: macros must not open or close braces.
"""

import pathlib
import re
import sys
from dataclasses import dataclass, field

from tree import Tree, report

TOKEN = re.compile(
    r"""(?P<doc_after>///<[^\n]*) | (?P<doc>///[^\n]*) | (?P<comment>//[^\n]*|/\*.*?\*/)
      | (?P<directive>^[ \t]*\#(?:\\\n|[^\n])*) | (?P<text>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])+')
      | (?P<newline>\n) | (?P<space>[ \t\r]+) | (?P<word>\w+) | (?P<mark>::|->|&&|\|\||<=>|.)""",
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
OPENERS = {"(": ")", "[": "]", "{": "}"}
TYPE_WORDS = ("class", "struct", "union", "enum")
SPECIFIERS = ("constexpr", "inline", "explicit", "COIR_API")
NOT_A_NAME = ("requires", "decltype", "noexcept", "explicit", "alignas")
INVISIBLE = ("newline", "doc", "doc_after")


@dataclass
class Token:
    kind: str
    text: str
    line: int


@dataclass
class Declaration:
    """The tokens up to its body or its semicolon, without comments."""

    tokens: list = field(default_factory=list)
    is_documented: bool = False
    has_body: bool = False

    def words(self):
        return [token.text for token in self.tokens]

    def line(self):
        return self.tokens[0].line

    def title(self):
        text = " ".join(self.words())
        return re.sub(r" ?(::|[(),<>;&~]) ?", r"\1", text)[:70]


def tokenize(text):
    """Tokens without spaces and plain comments; doc comments and line ends stay."""
    tokens, line = [], 1
    for match in TOKEN.finditer(text):
        kind = match.lastgroup
        if kind not in ("space", "comment", "directive"):
            tokens.append(Token(kind, match[0], line))
        line += match[0].count("\n")
    return tokens


def without_template_heads(words):
    """The words of a declaration after its `template <...>` parts."""
    while words[:1] == ["template"]:
        depth, end = 0, 1
        while end < len(words):
            depth += {"<": 1, ">": -1}.get(words[end], 0)
            end += 1
            if depth == 0:
                break
        words = words[end:]
    return words


def declared_name(words):
    """What a function is called: the word before its parameters; "" for anything else."""
    rest = without_attributes(without_template_heads(words))
    if "operator" in rest:
        rest = rest[rest.index("operator"):]
        end = rest.index("(", 2) if "(" in rest[2:] else len(rest)
        return "".join(rest[:end])
    depth = 0
    for before, word in zip(rest, rest[1:]):
        if word == "(" and depth == 0 and before not in NOT_A_NAME:
            return before
        depth += {"(": 1, ")": -1}.get(word, 0)
    return ""


def type_word_index(words):
    """Where `class`, `struct`, `union` or `enum` stands if this declares a type, else None."""
    for index, word in enumerate(words):
        if word in TYPE_WORDS:
            return None if "(" in without_attributes(words[index:]) else index
        if word == "(" and words[0] != "requires":
            return None
    return None


def without_attributes(words):
    """The words without `[[...]]` and `alignas(...)`."""
    text = " ".join(words)
    text = re.sub(r"\[ \[.*?\] \]", "", text)
    return re.sub(r"alignas \(.*?\)", "", text).split()


def is_exempt(declaration, class_name):
    """Declarations that say nothing of their own."""
    words = declaration.words()
    rest = without_template_heads(words)
    if not rest or rest[0] in ("friend", "static_assert") or is_specialization(words):
        return True
    if rest[0] == "using" and "=" not in rest:
        return True
    if rest[-2:] in (["=", "default"], ["=", "delete"]) or "~" in rest[:3]:
        return True
    if rest[-1] == "override":
        return True  # described where it is declared first
    if type_word_index(rest) == 0 and not declaration.has_body:
        return True  # forward declaration
    return is_special_member(rest, class_name)


def is_specialization(words):
    return words[:3] == ["template", "<", ">"]


def is_special_member(words, class_name):
    """Constructors without parameters; copy and move members."""
    if class_name is None:
        return False
    text = " ".join(word for word in words if word not in SPECIFIERS)
    own_type = re.escape(class_name) + r"(?: <[^()]*>)?"
    parameter = rf"\( (?:const )?{own_type} (?:&|&&)(?: \w+)? \)"
    constructor = rf"{re.escape(class_name)} (?:{parameter}|\( \))"
    assignment = rf"{own_type} & operator = (?:{parameter}|\( {own_type}(?: \w+)? \))"
    return re.match(rf"(?:{constructor}|{assignment})", text) is not None


class Scanner:
    """Walks one header and collects the declarations that lack a comment."""

    def __init__(self, text):
        self.tokens = tokenize(text)
        self.at = 0
        self.missing = []
        self.shared_comment = None  # name of the function just declared, if documented
        self.documented_functions = set()

    def peek(self):
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def skip_block(self):
        """Moves past the bracket at the current place and everything inside it."""
        closers = [OPENERS[self.tokens[self.at].text]]
        self.at += 1
        while closers and self.at < len(self.tokens):
            token = self.tokens[self.at]
            self.at += 1
            if token.kind == "mark" and token.text in OPENERS:
                closers.append(OPENERS[token.text])
            elif token.kind == "mark" and token.text == closers[-1]:
                closers.pop()

    def next_significant(self):
        """The next token that is neither a line end nor a comment."""
        index = self.at
        while index < len(self.tokens) and self.tokens[index].kind in INVISIBLE:
            index += 1
        return self.tokens[index].text if index < len(self.tokens) else ""

    def doc_follows_on_line(self):
        """Whether a `///<` stands behind the current place on the same line."""
        index = self.at
        while index < len(self.tokens) and self.tokens[index].kind != "newline":
            if self.tokens[index].kind == "doc_after":
                return True
            index += 1
        return False

    def scan_scope(self, is_checked, class_name=None, is_public=True):
        """Reads declarations up to the brace that closes this scope."""
        declaration, has_doc, line_is_empty = Declaration(), False, False
        while (token := self.peek()) is not None:
            if token.kind == "newline":
                if line_is_empty:  # it parts a comment from what follows
                    has_doc, self.shared_comment = False, None
                line_is_empty = True
                self.at += 1
                continue
            line_is_empty = False
            if token.kind in ("doc", "doc_after"):
                has_doc = has_doc or token.kind == "doc"
                self.at += 1
                continue
            if token.text == "}" and not declaration.tokens:
                self.at += 1
                return
            if self.is_access_label(token):
                is_public = token.text == "public"
                self.at += 2
                has_doc = False
                continue
            if not declaration.tokens:
                declaration.is_documented = has_doc
            ended = self.read_into(declaration, is_checked and is_public, class_name)
            if ended:
                declaration, has_doc = Declaration(), False

    def is_access_label(self, token):
        following = self.tokens[self.at + 1].text if self.at + 1 < len(self.tokens) else ""
        return token.text in ("public", "protected", "private") and following == ":"

    def read_into(self, declaration, is_checked, class_name):
        """Takes one token, or a whole bracket, into the declaration; true when it has ended."""
        token = self.peek()
        if token.text == ";":
            self.at += 1
            self.judge(declaration, is_checked, class_name)
            return True
        if token.text in ("(", "["):
            start = self.at
            self.skip_block()
            inside = self.tokens[start:self.at]
            declaration.tokens += [each for each in inside if each.kind not in INVISIBLE]
            return False
        if token.text == "{":
            return self.read_braces(declaration, is_checked, class_name)
        declaration.tokens.append(token)
        self.at += 1
        return False

    def read_braces(self, declaration, is_checked, class_name):
        words = without_template_heads(declaration.words())
        if "namespace" in words[:2] or words[:1] == ["extern"]:
            self.at += 1
            self.scan_scope(is_checked and "detail" not in words)
            return True
        index = type_word_index(words)
        if index is not None:
            declaration.has_body = True
            self.judge(declaration, is_checked, class_name)
            self.read_type(words[index:], is_checked and not is_specialization(declaration.words()))
            declaration.is_documented = True
            return False  # up to its semicolon
        self.skip_block()
        if self.next_significant() in (",", "{", ";"):
            return False  # a brace initialiser: of a variable, or in front of a constructor's body
        declaration.has_body = True
        self.judge(declaration, is_checked, class_name)
        return True

    def read_type(self, words, is_checked):
        self.at += 1
        if words[0] == "enum":
            self.scan_enumerators(is_checked)
            return
        named = [word for word in without_attributes(words)[1:] if word != "COIR_API"]
        class_name = named[0] if named else None
        self.scan_scope(is_checked, class_name, is_public=words[0] != "class")

    def scan_enumerators(self, is_checked):
        has_doc = False
        while (token := self.peek()) is not None and token.text != "}":
            if token.kind == "doc":
                has_doc = True
            elif token.kind == "word":
                if is_checked and not has_doc and not self.doc_follows_on_line():
                    self.missing.append((token.line, f"enumerator {token.text}"))
                self.skip_enumerator()
                has_doc = False
                continue
            self.at += 1
        self.at += 1

    def skip_enumerator(self):
        while (token := self.peek()) is not None and token.text not in (",", "}"):
            if token.kind == "mark" and token.text in OPENERS:
                self.skip_block()
            else:
                self.at += 1

    def judge(self, declaration, is_checked, class_name):
        name = declared_name(declaration.words())
        is_documented = declaration.is_documented or (name and name == self.shared_comment)
        self.shared_comment = name if is_documented else None
        if is_documented and name:
            self.documented_functions.add(name)
        has_earlier_comment = not class_name and name in self.documented_functions
        is_documented = is_documented or (declaration.has_body and has_earlier_comment)
        if not is_checked or not declaration.tokens or is_documented:
            return
        if is_exempt(declaration, class_name) or self.doc_follows_on_line():
            return
        self.missing.append((declaration.line(), declaration.title()))


def missing_docs(text):
    """Pairs of line and declaration for what lacks a comment."""
    scanner = Scanner(text)
    scanner.scan_scope(is_checked=True)
    return scanner.missing


def problems(root):
    tree = Tree(root)
    found = []
    for path in tree.public_headers():
        if "/detail/" not in path:
            for line, what in missing_docs(tree.text(path)):
                found.append(f"{path}:{line}: not documented: {what}")
    return found


if __name__ == "__main__":
    default_root = pathlib.Path(__file__).resolve().parents[2]
    sys.exit(report(problems(sys.argv[1] if len(sys.argv) > 1 else default_root)))
