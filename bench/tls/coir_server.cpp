// coir's HTTPS server of the benchmark: a short text, and the files of a folder. Serves until it is
// ended.
//
// usage: coir_server CERTIFICATE-FILE KEY-FILE FOLDER

#include "bench/load_tools.hpp"

#include <coir/coir.hpp>
#include <coir/net.hpp>
#include <coir/net/http_files.hpp>
#include <coir/net/http_router.hpp>
#include <coir/net/http_server.hpp>
#include <coir/net/tls_stream.hpp>

#include <chrono>
#include <cstdio>
#include <exception>
#include <stdexcept>

namespace net = coir::net;

namespace {

net::tls_context make_context(const char* certificate_file, const char* key_file) {
  net::tls_options options;
  options.identities.push_back({.certificate_file = certificate_file, .key_file = key_file});
  options.version_min = net::tls_version::tls13;
  return net::tls_context::server(options);
}

void serve(const net::tls_context& context, const char* folder) {
  net::http_router routes;
  routes.add("GET /hello", [](net::http_request&, net::http_response& answer) {
    answer.send("text/plain", "Hello, World!\n");
  });
  routes.add("GET /files/{path...}", net::http_files(folder));
  net::http_server::options how;
  how.http.idle_timeout = std::chrono::minutes(10);
  how.connections.wrap = net::serve_tls(context);
  net::http_server server(net::address::ipv4_loopback(), routes, how);
  server.start();
  std::printf("listening on %s (%s)\n", server.local_address().to_string().c_str(),
              coir::backend());
  std::fflush(stdout);
  server.serve_forever();
}

}  // namespace

int main(int argc, char** argv) {
  bench::raise_descriptor_limit();
  try {
    if (argc != 4) throw std::runtime_error("usage: coir_server CERTIFICATE-FILE KEY-FILE FOLDER");
    serve(make_context(argv[1], argv[2]), argv[3]);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "coir_server: %s\n", e.what());
    return 1;
  }
}
