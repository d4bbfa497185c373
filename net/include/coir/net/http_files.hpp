/// Serving files over HTTP.
#pragma once

#include <coir/export.hpp>
#include <coir/net/http_options.hpp>

#include <memory>
#include <string>
#include <string_view>

namespace coir::net {

/// Answers GET and HEAD with the files below a folder. A handler: give it to an http_server, or to
/// a router with a pattern that ends in "{path...}".
///
///     routes.add("/static/{path...}", net::http_files("/srv/www"));
///
/// Knows conditional requests (ETag, Last-Modified), one range of bytes, "index.html" of folders,
/// and the media types of common names. Nothing outside the folder is ever opened: the kernel
/// itself holds names and symbolic links beneath it. Names that begin with a dot are not served,
/// and folders are not listed. Files are opened and read without stopping other fibers.
///
/// Any number of fibers and workers may use it at a time, also copies of it.
class COIR_API http_files {
 public:
  /// Serves what is below `folder`. Throws std::system_error, which names it, when it is no folder
  /// that can be opened, and when the kernel has no openat2(2), which Linux 5.6 brought.
  explicit http_files(const std::string& folder);

  /// Answers with the file that the request's path names, or its path_value("path") when it has
  /// one. Parks. Throws http_error: 403, 404, 405, 412, 416, and 503 when there are no descriptors
  /// left; else what http_response::send does.
  void operator()(http_request& request, http_response& response) const;
  /// The same with a path of one's own, relative to the folder and not encoded.
  void send(http_request& request, http_response& response, std::string_view path) const;

 private:
  class folder;
  std::shared_ptr<const folder> folder_;
};

/// The media type that the end of a file's name stands for: "text/html; charset=utf-8" for
/// "index.html"; "application/octet-stream" for one that is not known. Any thread; never parks.
COIR_API std::string_view media_type_of(std::string_view name) noexcept;

}  // namespace coir::net
