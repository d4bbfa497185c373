#include <coir/metrics.hpp>

#include "runtime/io/resolve.hpp"
#include "runtime/kernel/thread_state.hpp"
#include "runtime/sched/crew.hpp"
#include "runtime/sched/worker.hpp"
#include "runtime/task/worker_threads.hpp"

#include <algorithm>
#include <cstdio>
#include <ostream>

namespace coir {
namespace {

using detail::worker;
using detail::worker_counters;
using std::chrono::nanoseconds;

/// What the two forms of text show of each count.
struct family {
  std::uint64_t (*value)(const worker_counts&);
  const char* name;
  const char* kind;
  const char* help;
};

constexpr family families[] = {
    {[](const worker_counts& c) { return c.turns_given; }, "turns_given_total", "counter",
     "How often a fiber gave up its worker."},
    {[](const worker_counts& c) { return c.switches; }, "switches_total", "counter",
     "How often another fiber went on then."},
    {[](const worker_counts& c) { return c.wakes_sent; }, "wakes_sent_total", "counter",
     "Wakes of fibers of other workers."},
    {[](const worker_counts& c) { return c.wakes_received; }, "wakes_received_total", "counter",
     "Wakes by other threads."},
    {[](const worker_counts& c) { return c.steals; }, "steals_total", "counter",
     "Fibers begun that were to begin on another worker."},
    {[](const worker_counts& c) { return c.polls; }, "polls_total", "counter",
     "Looks at the kernel for events."},
    {[](const worker_counts& c) { return c.sleeps; }, "sleeps_total", "counter",
     "How often the worker slept."},
    {[](const worker_counts& c) { return c.fibers_begun; }, "fibers_begun_total", "counter",
     "Fibers that got a stack."},
    {[](const worker_counts& c) { return c.fibers_ended; }, "fibers_ended_total", "counter",
     "Fibers whose function has returned."},
    {[](const worker_counts& c) { return c.fibers_alive(); }, "fibers_alive", "gauge",
     "Fibers that have begun and not ended."},
    {[](const worker_counts& c) { return c.fibers_waiting; }, "fibers_waiting", "gauge",
     "Fibers that wait for a worker to begin them."},
};

void read(const worker_counters& from, worker_counts& to) noexcept {
  to.fibers_ended = from.fibers_ended.read();  // before those begun, which they never exceed
  to.fibers_begun = from.fibers_begun.read();
  to.switches = from.switches.read();
  to.turns_given = to.switches + from.turns_kept.read();
  to.wakes_sent = from.wakes_sent.read();
  to.wakes_received = from.wakes_received.read();
  to.steals = from.steals.read();
  to.sleeps = from.sleeps.read();  // likewise
  to.polls = from.polls.read();
  to.asleep = nanoseconds(from.slept.read());
}

void add(worker_counts& sum, const worker_counts& one) noexcept {
  sum.turns_given += one.turns_given;
  sum.switches += one.switches;
  sum.wakes_sent += one.wakes_sent;
  sum.wakes_received += one.wakes_received;
  sum.steals += one.steals;
  sum.polls += one.polls;
  sum.sleeps += one.sleeps;
  sum.fibers_begun += one.fibers_begun;
  sum.fibers_ended += one.fibers_ended;
  sum.fibers_waiting += one.fibers_waiting;
  sum.asleep += one.asleep;
  sum.busy += one.busy;
}

look_up_counts read_look_ups() noexcept {
  const io::look_up_counters& from = io::look_up_count();
  constexpr auto relaxed = std::memory_order_relaxed;
  look_up_counts to;
  to.failed = from.failed.load(relaxed);
  to.begun = from.begun.load(relaxed);
  to.coalesced = from.coalesced.load(relaxed);
  to.given_up = from.given_up.load(relaxed);
  to.waiting = from.waiting.load(relaxed);
  to.queued = nanoseconds(from.queued_ns.load(relaxed));
  to.queued_longest = nanoseconds(from.queued_ns_max.load(relaxed));
  return to;
}

/// What has to be read with the registry locked.
void read(worker& w, worker_metrics& m) {
  m.thread_id = w.thread_id();
  read(w.count(), m);
  m.is_asleep = w.count().slept.is_running();
  m.busy = std::max(nanoseconds(detail::real_now_ns() - w.begun_at()) - m.asleep, nanoseconds(0));
  if (const detail::crew_seat* const seat = w.seat()) {
    const auto& threads = static_cast<const detail::worker_threads&>(*seat->all);
    m.set = &threads.owner();
    m.set_name = threads.name();
    m.number = static_cast<int>(seat->number);
    m.fibers_waiting = seat->unbegun.size() + seat->on_the_way();
  }
}

double seconds(nanoseconds length) { return std::chrono::duration<double>(length).count(); }

std::string counts_text(const worker_counts& c) {
  char text[512];
  const auto n = [](std::uint64_t count) { return static_cast<unsigned long long>(count); };
  std::snprintf(text, sizeof text,
                "fibers %llu alive, %llu waiting, %llu begun, %llu ended; %llu turns given, "
                "%llu switches; wakes %llu sent, %llu received; %llu steals; %llu polls, "
                "%llu sleeps; busy %.3f s, asleep %.3f s",
                n(c.fibers_alive()), n(c.fibers_waiting), n(c.fibers_begun), n(c.fibers_ended),
                n(c.turns_given), n(c.switches), n(c.wakes_sent), n(c.wakes_received), n(c.steals),
                n(c.polls), n(c.sleeps), seconds(c.busy), seconds(c.asleep));
  return text;
}

std::string look_ups_text(const look_up_counts& c) {
  char text[256];
  const auto n = [](std::uint64_t count) { return static_cast<unsigned long long>(count); };
  std::snprintf(text, sizeof text,
                "look-ups %llu begun, %llu calls coalesced, %llu failed, %llu calls given up; "
                "%llu fibers wait; %.3f s for a thread, %.3f s the longest\n",
                n(c.begun), n(c.coalesced), n(c.failed), n(c.given_up), n(c.waiting),
                seconds(c.queued), seconds(c.queued_longest));
  return text;
}

/// As the value of a label: the kernel lets a thread be called anything.
std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out + '"';
}

std::string labels_of(const worker_metrics& m) {
  std::string text = "{thread=" + quoted(m.thread_name) + ",id=\"" + std::to_string(m.thread_id);
  if (m.set) text += "\",set=" + quoted(m.set_name) + ",number=\"" + std::to_string(m.number);
  return text + "\"}";
}

/// One family: `value` gives the text of a sample.
template <class Value>
void add_family(std::string& text, const runtime_metrics& all, const std::string& name,
                const char* kind, const char* help, Value value) {
  text += "# HELP " + name + ' ' + help + "\n# TYPE " + name + ' ' + kind + '\n';
  for (const worker_metrics& m : all.workers) text += name + labels_of(m) + ' ' + value(m) + '\n';
  const bool is_sum = kind[0] == 'c';
  if (is_sum && all.workers_ended > 0) text += name + "{set=\"ended\"} " + value(all.ended) + '\n';
}

/// A family that has one sample, for the process.
void add_single(std::string& text, const char* name, const char* kind, const char* help,
                const std::string& value) {
  const std::string full = std::string("coir_look_up") + name;
  text += "# HELP " + full + ' ' + help + "\n# TYPE " + full + ' ' + kind + '\n';
  text += full + ' ' + value + '\n';
}

void add_look_ups(std::string& text, const look_up_counts& c) {
  add_single(text, "s_begun_total", "counter", "Name look-ups begun.", std::to_string(c.begun));
  add_single(text, "s_coalesced_total", "counter", "Calls that shared the look-up of another.",
             std::to_string(c.coalesced));
  add_single(text, "s_failed_total", "counter", "Name look-ups that ended with an error.",
             std::to_string(c.failed));
  add_single(text, "s_given_up_total", "counter", "Calls that a deadline or a kill ended.",
             std::to_string(c.given_up));
  add_single(text, "s_waiting", "gauge", "Fibers that wait for a name look-up.",
             std::to_string(c.waiting));
  add_single(text, "_queue_seconds_total", "counter",
             "Time that name look-ups waited for a thread.", std::to_string(seconds(c.queued)));
  add_single(text, "_queue_seconds_max", "gauge",
             "The longest that a name look-up waited for a thread.",
             std::to_string(seconds(c.queued_longest)));
}

}  // namespace

runtime_metrics metrics() {
  runtime_metrics all;
  all.look_ups = read_look_ups();
  {
    const detail::locked_registry registry;
    std::vector<const detail::crew*> crews;
    registry.for_each([&](worker& w) {
      read(w, all.workers.emplace_back());
      const detail::crew* const crew = w.seat() ? w.seat()->all : nullptr;
      if (!crew || std::find(crews.begin(), crews.end(), crew) != crews.end()) return;
      crews.push_back(crew);
      all.total.fibers_waiting += crew->queued();
    });
    const detail::ended_workers& ended = registry.ended();
    read(ended.count, all.ended);
    all.ended.asleep = nanoseconds(ended.slept_ns);
    all.ended.busy = nanoseconds(ended.busy_ns);
    all.workers_ended = ended.how_many;
  }
  add(all.total, all.ended);
  for (worker_metrics& m : all.workers) {
    m.thread_name = kernel::name_of_thread(m.thread_id);
    add(all.total, m);
  }
  std::sort(all.workers.begin(), all.workers.end(),
            [](const worker_metrics& a, const worker_metrics& b) {
              return a.set_name != b.set_name ? a.set_name < b.set_name
                     : a.number != b.number   ? a.number < b.number
                                              : a.thread_id < b.thread_id;
            });
  return all;
}

std::string runtime_metrics::text() const {
  std::string text;
  for (const worker_metrics& m : workers) {
    text += "worker " + m.thread_name + " (thread " + std::to_string(m.thread_id);
    if (m.set) text += ", number " + std::to_string(m.number) + " of set " + m.set_name;
    text += std::string(m.is_asleep ? ", asleep" : ", busy") + "): " + counts_text(m) + '\n';
  }
  text += "process (" + std::to_string(workers.size()) + " workers, " +
          std::to_string(workers_ended) + " ended): " + counts_text(total) + '\n';
  return look_ups.begun > 0 ? text + look_ups_text(look_ups) : text;
}

std::string runtime_metrics::prometheus() const {
  std::string text;
  for (const family& f : families) {
    add_family(text, *this, std::string("coir_") + f.name, f.kind, f.help,
               [&](const worker_counts& c) { return std::to_string(f.value(c)); });
  }
  add_family(text, *this, "coir_busy_seconds_total", "counter",
             "Time since the worker began, less that asleep.",
             [](const worker_counts& c) { return std::to_string(seconds(c.busy)); });
  add_family(text, *this, "coir_asleep_seconds_total", "counter",
             "Time the worker slept for want of fibers to run.",
             [](const worker_counts& c) { return std::to_string(seconds(c.asleep)); });
  add_look_ups(text, look_ups);
  return text;
}

std::ostream& operator<<(std::ostream& out, const runtime_metrics& metrics) {
  return out << metrics.text();
}

}  // namespace coir
