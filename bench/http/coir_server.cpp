// coir's HTTP server with the handler of the benchmark: a short text. Serves until it is ended.

#include "bench/load_tools.hpp"

#include <coir/coir.hpp>
#include <coir/net.hpp>
#include <coir/net/http_server.hpp>

#include <cstdio>
#include <exception>

namespace net = coir::net;

namespace {

void answer_hello(net::http_request&, net::http_response& answer) {
  answer.send("text/plain", "Hello, World!\n");
}

}  // namespace

int main() {
  bench::raise_descriptor_limit();
  try {
    net::http_server server(net::address::ipv4_loopback(), answer_hello);
    server.start();
    std::printf("listening on %s (%s)\n", server.local_address().to_string().c_str(),
                coir::backend());
    std::fflush(stdout);
    server.serve_forever();
  } catch (const std::exception& e) {
    std::fprintf(stderr, "coir_server: %s\n", e.what());
    return 1;
  }
}
