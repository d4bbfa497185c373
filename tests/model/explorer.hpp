/// An explorer of small concurrent programs: it visits every state that any interleaving of their
/// steps leads to (explicit states, breadth first, sequential consistency).
///
/// A model has a type `state` without padding (it is compared byte by byte) and
///
///     state initial() const;
///     void for_each_step(const state& from, Visit visit) const;   // visit(to, who, what)
///     const char* fault_of(const state&) const;   // a rule that this state breaks; else null
///     bool is_done(const state&) const;           // everybody has got what he came for
///
/// Two things are wrong: a state with a fault, and a state from which no interleaving leads to a
/// state that is done any more. The second is both the lost wake, after which all sleep, and the
/// endless loop that waits for something stranded.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

namespace coir::model {

/// What an exploration found.
struct verdict {
  std::size_t states = 0;
  std::size_t steps = 0;
  std::string fault;               ///< empty when all is well
  std::vector<std::string> trace;  ///< the shortest way to the fault
  bool is_complete = true;         ///< false when there were more states than allowed
};

/// Visits every state of `Model`, or at most `states_max`.
template <class Model>
class explorer {
 public:
  using state = typename Model::state;
  static_assert(std::has_unique_object_representations_v<state>);

  explorer(const Model& model, std::size_t states_max) : model_(model), states_max_(states_max) {}

  verdict run() {
    verdict found;
    add(model_.initial(), 0, "", "");
    for (std::uint32_t at = 0; at < states_.size(); ++at) {
      if (const char* fault = model_.fault_of(states_[at])) return finish(found, at, fault);
      const state from = states_[at];
      model_.for_each_step(from, [&](const state& to, const char* who, const char* what) {
        edges_.emplace_back(add(to, at, who, what), at);
      });
      if (states_.size() > states_max_) {
        found.is_complete = false;
        return finish(found, 0, "there are more states than expected");
      }
    }
    const std::vector<bool> is_hopeful = lead_to_done();
    for (std::uint32_t at = 0; at < states_.size(); ++at) {
      if (!is_hopeful[at]) return finish(found, at, "from here nothing leads to the end any more");
    }
    return finish(found, 0, "");
  }

 private:
  struct origin {
    std::uint32_t before;
    const char* who;
    const char* what;
  };
  struct hash {
    std::size_t operator()(const state& s) const noexcept {
      return std::hash<std::string_view>()({reinterpret_cast<const char*>(&s), sizeof s});
    }
  };
  struct equal {
    bool operator()(const state& a, const state& b) const noexcept {
      return std::memcmp(&a, &b, sizeof a) == 0;
    }
  };

  std::uint32_t add(const state& s, std::uint32_t before, const char* who, const char* what) {
    const auto [place, is_new] =
        numbers_.try_emplace(s, static_cast<std::uint32_t>(states_.size()));
    if (is_new) {
      states_.push_back(s);
      origins_.push_back({before, who, what});
    }
    return place->second;
  }

  /// Goes the steps backwards from all states that are done.
  std::vector<bool> lead_to_done() {
    std::sort(edges_.begin(), edges_.end());
    std::vector<bool> is_reached(states_.size());
    std::vector<std::uint32_t> open;
    for (std::uint32_t at = 0; at < states_.size(); ++at) {
      if (model_.is_done(states_[at])) {
        is_reached[at] = true;
        open.push_back(at);
      }
    }
    while (!open.empty()) {
      const std::uint32_t to = open.back();
      open.pop_back();
      for (auto edge = std::lower_bound(edges_.begin(), edges_.end(), std::pair(to, 0U));
           edge != edges_.end() && edge->first == to; ++edge) {
        if (is_reached[edge->second]) continue;
        is_reached[edge->second] = true;
        open.push_back(edge->second);
      }
    }
    return is_reached;
  }

  verdict finish(verdict& found, std::uint32_t at, const char* fault) {
    found.states = states_.size();
    found.steps = edges_.size();
    found.fault = fault;
    for (; at != 0; at = origins_[at].before) {
      found.trace.push_back(std::string(origins_[at].who) + ": " + origins_[at].what);
    }
    std::reverse(found.trace.begin(), found.trace.end());
    return std::move(found);
  }

  const Model& model_;
  std::size_t states_max_;
  std::vector<state> states_;
  std::vector<origin> origins_;
  std::unordered_map<state, std::uint32_t, hash, equal> numbers_;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> edges_;  // (to, from)
};

}  // namespace coir::model
