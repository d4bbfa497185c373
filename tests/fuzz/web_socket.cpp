// Frames from a WebSocket's peer, to both sides, in pieces of any size, with and without
// compression; and the input as a message of ours, to a peer of ours.
//
// The first byte says how large the pieces are, and the second which side this is (bit 0) and
// whether messages are compressed (bit 1). Checked beside crashes: messages are within the bound
// and texts are UTF-8; what is answered is whole frames of the right form, pongs and one close at
// the end, no more than was asked for; what is read does not depend on the pieces; and a message
// arrives as it was sent.
#include "net/websocket/connection.hpp"
#include "net/websocket/deflate.hpp"
#include "tests/fuzz/support.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

namespace {

namespace net = coir::net;
namespace websocket = coir::net::websocket;
using coir::detail::never;
using coir::fuzz::canned_stream;
using coir::fuzz::demand;
using websocket::connection;
using websocket::opcode;

constexpr std::size_t message_bytes_max = 16 * 1024;

struct sides {
  connection::role side;
  bool compresses;
};

net::web_socket_options bounds() {
  net::web_socket_options how;
  how.message_bytes_max = message_bytes_max;
  how.compressed_bytes_min = 1;
  return how;
}

websocket::agreement agreed_on(bool compresses) {
  websocket::agreement agreed;
  agreed.compresses = compresses;
  return agreed;
}

/// All that a reader learns.
struct outcome {
  std::vector<std::string> messages;
  std::error_code end;
  std::uint16_t code = 0;
  std::string reason;
  std::string last_pong;

  bool operator==(const outcome&) const = default;
};

/// What was answered: pongs, and a close at the end, as a side must write them.
void check_written(std::string_view written, const sides& how, std::size_t bytes_read) {
  std::size_t frames = 0;
  bool is_closed = false;
  while (!written.empty()) {
    websocket::frame_head head;
    demand(websocket::parse_head(written, head) == websocket::head_state::complete);
    demand(head.is_masked == (how.side == connection::role::client));
    demand(!is_closed && (head.op == opcode::pong || head.op == opcode::close));
    is_closed = head.op == opcode::close;
    demand(written.size() - head.head_bytes >= head.size);
    written.remove_prefix(head.head_bytes + static_cast<std::size_t>(head.size));
    ++frames;
  }
  constexpr std::size_t shortest_frame = 2;
  demand(frames <= bytes_read / shortest_frame + 1);
}

outcome read_all(std::string_view sent, std::size_t piece, const sides& how) {
  canned_stream wire(sent, piece);
  outcome all;
  {
    connection ours(wire, nullptr, how.side, bounds());
    ours.agree(agreed_on(how.compresses));
    while (const auto message = ours.read(never, all.end)) {
      demand(message->data.size() <= message_bytes_max);
      demand(!message->is_text || websocket::is_utf8(message->data));
      all.messages.push_back(message->data);
    }
    demand(!ours.is_open());
    all.code = ours.peer_code();
    all.reason = ours.peer_reason();
    all.last_pong = ours.last_pong();
    demand(websocket::is_utf8(all.reason));
    demand(all.reason.size() <= websocket::reason_bytes_max);
    demand(all.last_pong.size() <= websocket::control_bytes_max);
    demand(websocket::is_close_code(all.code) || all.code == net::close_code::none ||
           all.code == net::close_code::abnormal);
    demand(all.end || all.code != net::close_code::abnormal);
    std::error_code again;
    demand(!ours.read(never, again) && again == all.end);
    ours.write(opcode::text, std::string_view("late"), never, again);
    demand(static_cast<bool>(again));
  }
  check_written(wire.written(), how, sent.size());
  return all;
}

void check_way_there(std::string_view message, std::size_t piece, const sides& how) {
  if (message.size() > message_bytes_max) return;
  const bool is_client = how.side == connection::role::client;
  canned_stream out({}, 1);
  {
    connection sender(out, nullptr, how.side, bounds());
    sender.agree(agreed_on(how.compresses));
    std::error_code ec;
    sender.write(opcode::binary, message, never, ec);
    demand(!ec);
  }
  canned_stream in(out.written(), piece);
  connection receiver(in, nullptr, is_client ? connection::role::server : connection::role::client,
                      bounds());
  receiver.agree(agreed_on(how.compresses));
  std::error_code ec;
  const auto got = receiver.read(never, ec);
  demand(got && got->data == message && !got->is_text);
}

void check_unpacking(std::string_view bytes) {
  std::string out;
  const auto result = websocket::unpack(bytes, message_bytes_max, out);
  demand(result != websocket::unpack_result::done || out.size() <= message_bytes_max);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const sides how{(data[1] & 1) != 0 ? connection::role::client : connection::role::server,
                  (data[1] & 2) != 0};
  const std::size_t piece = coir::fuzz::piece_size(data[0], size);
  const std::string_view sent = coir::fuzz::text_of(data + 2, size - 2);
  const outcome in_pieces = read_all(sent, piece, how);
  demand(read_all(sent, size, how) == in_pieces);
  check_way_there(sent, piece, how);
  if (how.compresses) check_unpacking(sent);
  return 0;
}
