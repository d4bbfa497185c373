#!/usr/bin/env python3
"""Shows that hooks/table.py accepts what is right and finds what is wrong."""

import contextlib
import io
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "hooks"))
import table

SLEEP = """
/// hook: time: a timer
COIR_HOOK unsigned sleep(unsigned seconds) {
  return 0;
}
COIR_HOOK unsigned __sleep(unsigned) noexcept COIR_HOOK_ALIAS(sleep);
"""
LOCK = """
// Why this is so.
/// hook: locks: parks
COIR_HOOK int pthread_mutex_lock(pthread_mutex_t* mutex) noexcept(false)
{
  return 0;
}
"""
LINKED = '{ global: sleep; __sleep; /* nothing; */ extern "C++" { "coir::x()"; }; local: *; };\n'
PRELOADED = "{ global: pthread_mutex_lock; local: *; };\n"
DOCS = f"before\n{table.BEGIN}\n{table.END}\nafter\n"


class Table(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        self.put("hooks/sleep.cpp", SLEEP)
        self.put("hooks/threads/mutex.cpp", LOCK)
        self.put("hooks/exports.map", LINKED)
        self.put("hooks/preload.map", PRELOADED)
        self.put("docs/hooks.md", DOCS)
        self.put("hooks/launcher/hook_families.inc", "")

    def put(self, path, text):
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text, encoding="utf-8")

    def run_table(self, is_writing):
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            status = table.main(self.root, is_writing)
        return status, said.getvalue()

    def assert_wrong(self, what):
        for is_writing in (True, False):
            status, said = self.run_table(is_writing)
            self.assertEqual(status, 1)
            self.assertIn(what, said)

    def test_what_was_written_is_accepted_afterwards(self):
        self.assertEqual(self.run_table(False)[0], 1)
        self.assertEqual(self.run_table(True)[0], 0)
        self.assertEqual(self.run_table(False)[0], 0)

    def test_the_table_has_aliases_families_and_libraries(self):
        self.run_table(True)
        text = (self.root / "docs/hooks.md").read_text(encoding="utf-8")
        self.assertIn("| `sleep` `__sleep` | a timer | time | both |\n", text)
        self.assertIn("| `pthread_mutex_lock` | parks | locks | preloaded |\n", text)
        self.assertTrue(text.startswith("before\n") and text.endswith("\nafter\n"))

    def test_the_families_are_sorted_by_name(self):
        self.run_table(True)
        text = (self.root / "hooks/launcher/hook_families.inc").read_text(encoding="utf-8")
        self.assertEqual(text.splitlines()[1:], [
            '    {"__sleep", "time"},', '    {"pthread_mutex_lock", "locks"},',
            '    {"sleep", "time"},'])

    def test_an_edited_table_is_found(self):
        self.run_table(True)
        docs = (self.root / "docs/hooks.md").read_text(encoding="utf-8")
        self.put("docs/hooks.md", docs.replace("a timer", "a clock"))
        status, said = self.run_table(False)
        self.assertEqual(status, 1)
        self.assertIn("hooks.md is not what the sources say", said)

    def test_an_exported_hook_without_a_line_is_found(self):
        self.put("hooks/sleep.cpp", SLEEP.replace("/// hook: time: a timer\n", ""))
        self.assert_wrong("sleep has no line")

    def test_an_exported_name_without_a_hook_is_found(self):
        self.put("hooks/preload.map", "{ global: pthread_mutex_lock; sem_wait; local: *; };")
        self.assert_wrong("sem_wait is exported")

    def test_a_hook_that_no_map_exports_is_found(self):
        self.put("hooks/preload.map", "{ global: local: *; };")
        self.assert_wrong("pthread_mutex_lock is a hook that no map exports")

    def test_an_unknown_family_is_found(self):
        self.put("hooks/sleep.cpp", SLEEP.replace("time:", "tmie:"))
        self.assert_wrong('no family is called "tmie"')

    def test_a_line_of_another_form_is_found(self):
        self.put("hooks/sleep.cpp", SLEEP.replace("/// hook: time:", "// hook: time:"))
        self.assert_wrong("not of the form")


if __name__ == "__main__":
    unittest.main()
