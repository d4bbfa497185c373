#!/usr/bin/env python3
"""Shows that each check accepts what is right and finds what is wrong."""

import pathlib
import tempfile
import unittest

import documented
import floors
import words


def missing(text):
    return [what for _, what in documented.missing_docs(text)]


class TreeTest(unittest.TestCase):
    """A test over a small tree, given as paths and texts."""

    def tree(self, files):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        for path, text in files.items():
            target = pathlib.Path(folder.name, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        return folder.name


class Floors(TreeTest):
    def test_own_and_lower_floors_are_allowed(self):
        root = self.tree({
            "runtime/base/list.hpp": "#include <vector>\n",
            "runtime/sched/worker.hpp": '#include "runtime/base/list.hpp"\n',
            "runtime/sched/worker.cpp": '#include "runtime/sched/worker.hpp"\n',
        })
        self.assertEqual(floors.problems(root), [])

    def test_a_higher_floor_is_found(self):
        root = self.tree({
            "runtime/base/list.hpp": '#include "runtime/sched/worker.hpp"\n',
            "runtime/sched/worker.hpp": "\n",
        })
        self.assertEqual(len(floors.problems(root)), 1)
        self.assertIn("runtime/base/list.hpp:1", floors.problems(root)[0])

    def test_a_public_header_counts_as_the_floor_that_implements_it(self):
        root = self.tree({
            "runtime/kernel/futex.cpp": "#include <coir/mutex.hpp>\n",
            "runtime/include/coir/mutex.hpp": "\n",
        })
        self.assertEqual(len(floors.problems(root)), 1)

    def test_net_and_hooks_never_include_each_other(self):
        root = self.tree({
            "net/stream.cpp": '#include "hooks/real.hpp"\n',
            "hooks/real.hpp": "\n",
            "hooks/recv.cpp": "#include <coir/net/stream.hpp>\n",
            "net/include/coir/net/stream.hpp": "\n",
        })
        self.assertEqual(len(floors.problems(root)), 2)

    def test_a_circle_within_a_floor_is_found_though_no_two_files_form_one(self):
        root = self.tree({
            "runtime/io/a.hpp": "\n",
            "runtime/io/a.cpp": '#include "runtime/io/b.hpp"\n',
            "runtime/io/b.hpp": '#include "runtime/io/a.hpp"\n',
        })
        circle = "circle: runtime/io/a -> runtime/io/b -> runtime/io/a"
        self.assertEqual(floors.problems(root), [circle])

    def test_a_file_that_does_not_exist_is_found(self):
        includes = '#include "b.hpp"\n#include <coir/c.hpp>\n#include <vector>\n'
        root = self.tree({"net/a.cpp": includes})
        self.assertEqual(len(floors.problems(root)), 2)

    def test_public_headers_include_no_internal_or_foreign_ones(self):
        root = self.tree({
            "net/include/coir/net/a.hpp": '#include <boost/any.hpp>\n#include "net/b.hpp"\n',
            "net/b.hpp": "\n",
        })
        self.assertEqual(len(floors.problems(root)), 2)

    def test_a_folder_without_a_number_is_found(self):
        root = self.tree({"runtime/extra/a.cpp": "\n", "runtime/include/coir/unheard_of.hpp": "\n"})
        self.assertEqual(len(floors.problems(root)), 2)


GOOD_HEADER = """
/// What this header is for.
#pragma once
#define COIR_API __attribute__((visibility("default")))
namespace coir {
namespace detail {
int internal();
}
class forward;
struct COIR_API also_forward;

/// A type.
template <class T = void, class U = std::pair<T, int>>
class COIR_API thing final : public base<T> {
 public:
  thing() noexcept;
  thing(const thing&) = delete;
  thing(thing&& other) noexcept : value_(std::exchange(other.value_, 0)) {}
  thing& operator=(thing other) noexcept { return swap(other); }
  ~thing();
  /// From a value.
  explicit thing(int value) : value_{value}, other_{} {}
  /// Serves the two overloads.
  void run(int n) { for (int i = 0; i < n; ++i) { step(); } }
  void run(int n, std::error_code& ec);
  using base<T>::name;

 private:
  void hidden();
  int value_ = 0;
};

/// Kinds.
enum class kind : int {
  one,  ///< first
  /// Second.
  two = 2,
};
/// A constant.
inline constexpr std::atomic<int> limit{5};
/// A function, defined below.
template <class F>
  requires std::invocable<F>
auto call(F f);

template <class F>
  requires std::invocable<F>
auto call(F f) { return f(); }
}  // namespace coir
template <>
struct std::hash<coir::thing<int>> {
  std::size_t operator()(const coir::thing<int>& t) const;
};
"""


class Documented(unittest.TestCase):
    def test_a_good_header_passes(self):
        self.assertEqual(missing(GOOD_HEADER), [])

    def test_every_comment_of_the_good_header_is_needed(self):
        lines = GOOD_HEADER.split("\n")
        comments = [index for index, line in enumerate(lines) if "///" in line][1:]
        for index in comments:
            without = lines[:index] + [lines[index].split("///")[0]] + lines[index + 1:]
            expected = 2 if "overloads" in lines[index] or "below" in lines[index] else 1
            self.assertEqual(len(missing("\n".join(without))), expected, lines[index])

    def test_a_comment_parted_by_an_empty_line_does_not_count(self):
        self.assertEqual(missing("/// About the file.\n\nint f();\n"), ["int f()"])

    def test_a_plain_comment_does_not_count(self):
        self.assertEqual(missing("// Not for users.\nint f();\n"), ["int f()"])

    def test_a_comment_serves_no_function_of_another_name(self):
        self.assertEqual(missing("/// F.\nint f();\nint g();\n"), ["int g()"])

    def test_members_of_a_struct_are_public(self):
        text = "/// S.\nstruct s {\n  int a;  ///< there\n  int b;\n};\n"
        self.assertEqual(missing(text), ["int b"])

    def test_what_overrides_is_described_where_it_was_declared_first(self):
        text = "/// One.\nclass one : public two {{\n public:\n  int f() const{};\n}};\n"
        self.assertEqual(missing(text.format(" override")), [])
        self.assertEqual(len(missing(text.format(""))), 1)

    def test_c_functions_are_checked(self):
        self.assertEqual(missing('extern "C" {\nint coir_spawn(void (*f)(void*), void* a);\n}\n'),
                         ["int coir_spawn(void(* f)(void *),void * a)"])

    def test_code_in_bodies_is_not_a_declaration(self):
        text = "/// F.\ninline int f() {\n  struct s { int a; } x{1};\n  return x.a;\n}\n"
        self.assertEqual(missing(text), [])


class Words(TreeTest):
    def problems(self, text):
        return words.problems(self.tree({"runtime/a.cpp": text}))

    def test_clean_lines_pass(self):
        text = "int a;  // TODO(perf): until the kernel has it\n// /proc/self\n"
        self.assertEqual(self.problems(text), [])

    def test_each_kind_is_found(self):
        marks = ("// TODO: later", "// FIXME", "// see /home/me", "// issue 7")
        for bad in (*marks, "\tint a;", "int a; ", "x" * 101):
            self.assertEqual(len(self.problems(bad + "\n")), 1, bad)


if __name__ == "__main__":
    unittest.main()
