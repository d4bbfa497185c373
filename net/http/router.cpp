#include "net/http/text.hpp"

#include <coir/net/http_error.hpp>
#include <coir/net/http_router.hpp>

#include <algorithm>
#include <stdexcept>

namespace coir::net {
namespace {

[[noreturn]] void refuse(std::string_view pattern, const char* why) {
  throw std::invalid_argument("the route '" + std::string(pattern) + "' " + why);
}

/// The decoded segments of a path, in the normal form that http_request::path() has, too; one that
/// ends in '/' has an empty one last.
std::vector<std::string> segments_of(std::string_view raw_path) {
  std::vector<std::string> found;
  if (!raw_path.starts_with('/')) return found;
  raw_path.remove_prefix(1);
  for (bool goes_on = true; goes_on;) {
    goes_on = raw_path.find('/') != std::string_view::npos;
    auto segment = percent_decoded(http::take_until(raw_path, '/'));
    if (!segment || (*segment == ".." && found.empty())) throw http_error(400);
    const bool is_dots = *segment == "." || *segment == "..";
    if (*segment == "..") found.pop_back();
    if (is_dots) segment->clear();
    if (!segment->empty() || !goes_on) found.push_back(std::move(*segment));
  }
  return found;
}

}  // namespace

void http_router::add(std::string_view pattern, http_handler handler) {
  if (!handler) refuse(pattern, "has no handler");
  route made = parsed(pattern);
  for (const route& each : routes_) {
    if (each.method == made.method && !comes_before(each, made) && !comes_before(made, each)) {
      refuse(pattern, ("matches the same as '" + each.pattern + "'").c_str());
    }
  }
  made.handler = std::move(handler);
  const auto place = std::upper_bound(routes_.begin(), routes_.end(), made, comes_before);
  routes_.insert(place, std::move(made));
}

http_router::route http_router::parsed(std::string_view pattern) {
  route made;
  made.pattern = pattern;
  std::string_view rest = pattern;
  if (const auto space = rest.find(' '); space != std::string_view::npos) {
    made.method = http::take_until(rest, ' ');
    if (!http::is_token(made.method)) refuse(pattern, "begins with no method");
  }
  if (!rest.starts_with('/')) refuse(pattern, "has a path that does not begin with '/'");
  rest.remove_prefix(1);
  for (bool goes_on = true; goes_on;) {
    goes_on = rest.find('/') != std::string_view::npos;
    std::string_view text = http::take_until(rest, '/');
    kind what = kind::plain;
    if (text.starts_with('{') && text.ends_with('}')) {
      text = text.substr(1, text.size() - 2);
      what = text.ends_with("...") ? kind::rest : kind::value;
      if (what == kind::rest) text.remove_suffix(3);
      if (text.empty()) refuse(pattern, "has a value without a name");
      if (what == kind::rest && goes_on) refuse(pattern, "has something behind {...}");
    }
    if (text.find_first_of("{}") != std::string_view::npos) {
      refuse(pattern, "has braces that are not a whole segment");
    }
    made.segments.push_back({what, std::string(text)});
  }
  return made;
}

/// The order in which routes are tried. Two of the same method of which neither comes first match
/// the same requests.
bool http_router::comes_before(const route& a, const route& b) {
  const auto key = [](const route& r) {
    std::vector<std::pair<kind, std::string_view>> parts;
    for (const segment& s : r.segments) {
      parts.emplace_back(s.what, s.what == kind::plain ? s.text : std::string_view());
    }
    return std::pair(std::move(parts), r.method.empty());
  };
  return key(a) < key(b);
}

void http_router::operator()(http_request& request, http_response& response) const {
  const std::vector<std::string> path = segments_of(request.raw_path_);
  const route* found = find(request.method(), path);
  if (!found && request.method() == "HEAD") found = find("GET", path);
  if (!found) {
    const std::string methods = methods_for(path);
    if (methods.empty()) throw http_error(404);
    response.headers().set("Allow", methods);
    throw http_error(405);
  }
  request.path_values_.clear();
  for (std::size_t i = 0; i < found->segments.size(); ++i) {
    const segment& s = found->segments[i];
    if (s.what == kind::plain) continue;
    std::string value = path[i];
    for (std::size_t more = i + 1; s.what == kind::rest && more < path.size(); ++more) {
      value.append("/").append(path[more]);
    }
    request.path_values_.emplace_back(s.text, std::move(value));
  }
  found->handler(request, response);
}

bool http_router::matches(const route& r, const std::vector<std::string>& path) {
  for (std::size_t i = 0; i < r.segments.size(); ++i) {
    if (i == path.size()) return false;
    const segment& s = r.segments[i];
    if (s.what == kind::rest) return true;
    const bool fits = s.what == kind::plain ? path[i] == s.text : !path[i].empty();
    if (!fits) return false;
  }
  return r.segments.size() == path.size();
}

const http_router::route* http_router::find(std::string_view method,
                                            const std::vector<std::string>& path) const {
  for (const route& each : routes_) {
    const bool takes_method = each.method.empty() || each.method == method;
    if (takes_method && matches(each, path)) return &each;
  }
  return nullptr;
}

/// Those for which the path has a route, as a list.
std::string http_router::methods_for(const std::vector<std::string>& path) const {
  std::string list;
  for (const route& each : routes_) {
    if (!matches(each, path)) continue;
    list.append(list.empty() ? "" : ", ").append(each.method);
    if (each.method == "GET") list += ", HEAD";
  }
  return list;
}

}  // namespace coir::net
