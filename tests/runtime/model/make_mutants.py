#!/usr/bin/env python3
"""Writes a header with copies of the lock-free parts, each with one mistake, made in their text.

usage: make_mutants.py ROOT OUTPUT

A mistake whose text is not found exactly once, because the source has changed, is an error: so no
mutant is silently the original. Each copy lies in a namespace of its own, with a struct that names
its parts for the programs of crew_model.cpp.
"""

import pathlib
import re
import sys

INBOX = "runtime/base/inbox.hpp"
DEQUE = "runtime/base/work_deque.hpp"
IDLE = "runtime/base/idle_set.hpp"
QUEUE = "runtime/sched/common_queue.hpp"
SHAKE = "runtime/sched/hand_shake.hpp"
PARTS = (INBOX, DEQUE, IDLE, QUEUE, SHAKE)

SEQ = "std::memory_order_seq_cst"
RELEASE = "std::memory_order_release"
RELAXED = "std::memory_order_relaxed"

# Name, file, what stands there, what shall stand there. White space counts as one blank.
MUTANTS = (
    ("mark_without_compare", INBOX,
     f"return head_.compare_exchange_strong(nothing, &asleep_, {SEQ}, {RELAXED});",
     "(void)nothing; head_.store(&asleep_); return true;"),
    ("push_hides_mark", INBOX, "return seen == &asleep_;", "return false;"),
    ("push_keeps_mark", INBOX, "call.next = seen == &asleep_ ? nullptr : seen;",
     "call.next = seen;"),
    ("push_relaxed", INBOX, f"compare_exchange_weak(seen, &call, {SEQ},",
     f"compare_exchange_weak(seen, &call, {RELAXED},"),
    ("take_all_relaxed", INBOX, "head_.exchange(nullptr, std::memory_order_acquire)",
     f"head_.exchange(nullptr, {RELAXED})"),
    ("take_all_in_two_steps", INBOX,
     "remote_call* newest = head_.exchange(nullptr, std::memory_order_acquire);",
     "remote_call* newest = head_.load(); head_.store(nullptr);"),
    ("rouse_takes_calls", INBOX,
     f"return head_.compare_exchange_strong(mark, nullptr, {SEQ}, {RELAXED});",
     "return head_.exchange(nullptr) == mark;"),
    ("pop_without_compare", DEQUE, "if (!take(top)) work = nullptr;", "top_.store(top + 1);"),
    ("pop_bottom_release", DEQUE, f"bottom_.store(bottom, {SEQ});",
     f"bottom_.store(bottom, {RELEASE});"),
    ("pop_leaves_bottom", DEQUE, f"bottom_.store(bottom + 1, {RELEASE});", ""),
    ("push_bottom_relaxed", DEQUE, f"bottom_.store(bottom + 1, {SEQ});",
     f"bottom_.store(bottom + 1, {RELAXED});"),
    ("push_publishes_first", DEQUE, f"r->at(bottom).store(&work, {RELAXED});",
     f"bottom_.store(bottom + 1, {SEQ}); r->at(bottom).store(&work, {RELAXED});"),
    ("push_overwrites", DEQUE, "bottom - top > r->mask)", "bottom - top > r->mask + 1)"),
    ("steal_reads_late", DEQUE, "if (take(top)) return work;",
     "(void)work; const std::int64_t at = top;"
     "if (take(top)) return ring_.load()->at(at).load();"),
    ("steal_without_compare", DEQUE, "if (take(top)) return work;",
     "top_.store(top + 1); return work;"),
    ("steal_looks_at_bottom_first", DEQUE,
     f"std::int64_t top = top_.load({SEQ}); if (top >= bottom_.load({SEQ})) return nullptr;",
     "const std::int64_t bottom = bottom_.load();"
     "std::int64_t top = top_.load(); if (top >= bottom) return nullptr;"),
    ("grow_wipes_old_ring", DEQUE, "rings_.push_back(std::move(made));",
     "rings_.push_back(std::move(made));"
     "for (std::int64_t i = top; old && i < bottom; ++i) old->at(i).store(nullptr);"),
    ("grow_forgets_oldest", DEQUE, "for (std::int64_t i = top; i < bottom; ++i) {",
     "for (std::int64_t i = top + 1; i < bottom; ++i) {"),
    ("sleep_counts_no_wakes", SHAKE, "if (!door.end_sleep()) ++wakes_due;",
     "(void)door.end_sleep(); (void)wakes_due;"),
    ("sleep_keeps_mark", SHAKE, "if (!door.end_sleep()) ++wakes_due;", "(void)wakes_due;"),
    ("rest_before_mark", SHAKE,
     "if (!door.begin_sleep()) { wait(false); return false; } const bool may_wait = begin_rest();",
     "bool may_wait = begin_rest();"
     "if (!door.begin_sleep()) { if (may_wait) end_rest(); wait(false); return false; }"),
    ("no_second_look", SHAKE, "if (!has_work()) return true;", "(void)has_work; return true;"),
    ("look_before_idle", SHAKE, "idle.add(number); if (!has_work()) return true;",
     "const bool has = has_work(); idle.add(number); if (!has) return true;"),
    ("wake_of_nobody", SHAKE,
     "if (number < 0 || rouse(static_cast<std::size_t>(number))) return;",
     "(void)rouse; if (number < 0) return; return;"),
)

KIT = """
struct {name} {{
  using inbox = mutants::{name}_parts::basic_inbox<atomic>;
  using deque = mutants::{name}_parts::basic_work_deque<atomic, 2>;
  using idle_set = mutants::{name}_parts::basic_idle_set<atomic>;
  using common_queue = mutants::{name}_parts::basic_common_queue<short_lock, atomic>;
  template <class... T>
  static bool sleep_behind(T&&... with) {{
    return mutants::{name}_parts::sleep_behind(std::forward<T>(with)...);
  }}
  template <class... T>
  static bool enter_idle(T&&... with) {{
    return mutants::{name}_parts::enter_idle(std::forward<T>(with)...);
  }}
  template <class... T>
  static void wake_one(T&&... with) {{
    mutants::{name}_parts::wake_one(std::forward<T>(with)...);
  }}
}};
"""


def body_of(text):
    """What stands in the namespace of a header, without comments."""
    text = re.sub(r"//[^\n]*", "", text)
    start = text.index("namespace coir::detail {") + len("namespace coir::detail {")
    return text[start:text.rindex("}")]


def mutated(body, name, old, new):
    pattern = r"\s*".join(re.escape(word) for word in re.findall(r"\w+|[^\w\s]", old))
    if len(re.findall(pattern, body)) != 1:
        sys.exit(f"make_mutants: {name}: not found once: {old}")
    return re.sub(pattern, lambda _: new, body)


def main(root, output):
    bodies = {path: body_of((pathlib.Path(root) / path).read_text()) for path in PARTS}
    lines = ["// Made by make_mutants.py out of the sources; each with one mistake.",
             "#pragma once"]
    for name, path, old, new in MUTANTS:
        lines.append(f"namespace coir::detail::mutants::{name}_parts {{")
        for part in PARTS:
            body = bodies[part]
            lines.append(mutated(body, name, old, new) if part == path else body)
        lines.append("}")
        lines.append("namespace coir::model {\nnamespace mutants = coir::detail::mutants;")
        lines.append(KIT.format(name=name))
        lines.append("}")
    pathlib.Path(output).write_text("\n".join(lines))


if __name__ == "__main__":
    main(*sys.argv[1:])
