// Uses one thing of each library, so that each must be found, linked and loaded.
#include <coir/coir.hpp>
#include <coir/hooks.hpp>
#include <coir/net.hpp>

#include <cstdio>

int main() {
  const bool is_hooked = coir::spawn([] { return coir::hooks::active(); }).get();
  const auto peer = coir::net::address::parse("127.0.0.1:80");
  std::printf("hooks: %s, peer: %s\n", is_hooked ? "active" : "inactive", peer.to_string().c_str());
  return is_hooked && peer.port() == 80 ? 0 : 1;
}
