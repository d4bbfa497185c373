/// Which handler answers which request.
#pragma once

#include <coir/export.hpp>
#include <coir/net/http_options.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace coir::net {

/// Chooses a handler by method and path. A handler itself: give it to an http_server.
///
///     net::http_router routes;
///     routes.add("GET /users/{id}", show_user);       // path_value("id")
///     routes.add("GET /files/{name...}", send_file);  // the rest of the path, slashes included
///     routes.add("/health", report);                  // any method
///     net::http_server server(where, routes);
///
/// The segments of a path are matched as they are decoded, one by one, so that an encoded '/' never
/// makes two of one. Of the patterns that match, the one with the earlier plain segment wins:
/// "/users/me" before "/users/{id}" before "/users/{rest...}". HEAD goes to the handler of GET
/// where it has none of its own. No pattern: 404; patterns of other methods only: 405 with Allow.
///
/// To be filled before it is used; then any number of fibers and workers may use it at a time,
/// also copies of it.
class COIR_API http_router {
 public:
  /// Adds a pattern: "[METHOD ]/segment/{name}/{rest...}". Throws std::invalid_argument, which says
  /// what is wrong with it, also when the pattern is there already. Never parks.
  void add(std::string_view pattern, http_handler handler);

  /// Answers with the handler that fits. Throws what it throws, and http_error 404 and 405.
  void operator()(http_request& request, http_response& response) const;

 private:
  enum class kind {  // of a segment, in the order of preference
    plain,
    value,
    rest,
  };
  struct segment {
    kind what;
    std::string text;  ///< the segment itself, or the name of the value
  };
  struct route {
    std::string pattern;
    std::string method;  ///< empty: any
    std::vector<segment> segments;
    http_handler handler;
  };

  static route parsed(std::string_view pattern);
  static bool comes_before(const route& a, const route& b);
  static bool matches(const route& r, const std::vector<std::string>& path);
  const route* find(std::string_view method, const std::vector<std::string>& path) const;
  std::string methods_for(const std::vector<std::string>& path) const;

  std::vector<route> routes_;  ///< those that win come first
};

}  // namespace coir::net
