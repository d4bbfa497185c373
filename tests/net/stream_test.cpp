// What every connected stream does, over TCP on IPv4, TCP on IPv6 and unix sockets.
#include "tests/net/support.hpp"

#include <array>
#include <numeric>

#include <fcntl.h>

namespace coir::net::test {
namespace {

struct over_ipv4 {
  using stream_type = tcp_stream;
  static connection<tcp_stream> connect() { return tcp_connection(); }
};

struct over_ipv6 {
  using stream_type = tcp_stream;
  static connection<tcp_stream> connect() { return tcp_connection(address::ipv6_loopback()); }
};

struct over_unix {
  using stream_type = unix_stream;
  static connection<unix_stream> connect() {
    auto [near, far] = unix_stream::pair();
    return {std::move(near), std::move(far)};
  }
};

template <class Kind>
class stream_test : public testing::Test {
 protected:
  connection<typename Kind::stream_type> ends = Kind::connect();
  typename Kind::stream_type& near = ends.near;
  typename Kind::stream_type& far = ends.far;
};

using kinds = testing::Types<over_ipv4, over_ipv6, over_unix>;
TYPED_TEST_SUITE(stream_test, kinds);

std::string read_text(stream& s) {
  std::array<char, 256> bytes;
  return {bytes.data(), s.read_some(bytes)};
}

TYPED_TEST(stream_test, bytes_go_both_ways) {
  this->near.write_all("ping");
  EXPECT_EQ("ping", read_text(this->far));
  this->far.write_all(std::string("pong"));
  EXPECT_EQ("pong", read_text(this->near));
}

TYPED_TEST(stream_test, reader_waits_for_the_writer) {
  auto reading = spawn([this] { return read_text(this->far); });
  this_fiber::yield();
  EXPECT_FALSE(reading.ready());
  EXPECT_EQ(2u, this->near.write_some("hi"));
  EXPECT_EQ("hi", reading.get_for(patience));
}

TYPED_TEST(stream_test, many_exchanges_in_a_row) {
  auto echo = spawn([this] {
    std::array<char, 64> bytes;
    while (const std::size_t size = this->far.read_some(bytes)) {
      this->far.write_all({bytes.data(), size});
    }
  });
  for (int i = 0; i < 2000; ++i) {
    const std::string sent = std::to_string(i);
    this->near.write_all(sent);
    std::string got(sent.size(), '\0');
    this->near.read_exactly(got);
    ASSERT_EQ(sent, got);
  }
  this->near.close();
  EXPECT_TRUE(echo.join_for(patience));
}

TYPED_TEST(stream_test, end_of_stream_is_0_bytes_again_and_again) {
  this->near.write_all("last");
  this->near.close();
  EXPECT_EQ("last", read_text(this->far));
  EXPECT_EQ("", read_text(this->far));
  EXPECT_EQ("", read_text(this->far));
}

TYPED_TEST(stream_test, peer_that_closes_ends_a_waiting_read) {
  auto reading = spawn([this] { return read_text(this->far); });
  this_fiber::yield();
  this->near.close();
  EXPECT_EQ("", reading.get_for(patience));
}

TYPED_TEST(stream_test, read_into_an_empty_buffer_returns_at_once) {
  EXPECT_EQ(0u, this->far.read_some(mutable_buffer(nullptr, 0)));
  EXPECT_EQ(0u, this->far.read_exactly(mutable_buffer(nullptr, 0)));
}

TYPED_TEST(stream_test, waiting_for_bytes_leaves_them_to_be_read) {
  this->near.reads_expire_after(patience);
  auto later = spawn([this] { this->far.write_all("ab"); });
  EXPECT_TRUE(this->near.wait_readable());
  char got[2];
  EXPECT_EQ(2u, this->near.read_exactly(got));
  EXPECT_EQ("ab", std::string(got, 2));
  auto end = spawn([this] { this->far.close(); });
  EXPECT_FALSE(this->near.wait_readable());
  EXPECT_FALSE(this->near.wait_readable());
  this->near.close();
  std::error_code ec;
  EXPECT_FALSE(this->near.wait_readable(ec));
  EXPECT_EQ(ec, std::errc::bad_file_descriptor);
}

TYPED_TEST(stream_test, a_look_that_may_not_wait_tells_what_there_is) {
  this->near.reads_expire_after(0s);
  EXPECT_EQ(std::errc::timed_out, thrown_by([this] { this->near.wait_readable(); }));
  this->far.write_all("a");
  EXPECT_TRUE(this->near.wait_readable());  // loopback is at once
  char got[2];
  EXPECT_EQ(1u, this->near.read_some(got));
  std::error_code ec;
  EXPECT_FALSE(this->near.wait_readable(ec));
  EXPECT_EQ(ec, std::errc::timed_out);
  this->far.close();
  EXPECT_FALSE(this->near.wait_readable());
}

TYPED_TEST(stream_test, write_all_of_nothing_succeeds_at_once_also_with_a_deadline) {
  EXPECT_EQ(0u, this->near.write_all(""));
  this->near.expires_after(0s);
  EXPECT_EQ(0u, this->near.write_all(""));
  EXPECT_EQ(0u, this->near.write_parts({"", ""}));
}

TYPED_TEST(stream_test, write_of_an_empty_buffer_returns_0_and_does_not_block) {
  shrink_buffers(this->near);
  fill(this->near);
  EXPECT_EQ(0u, this->near.write_some(""));
}

TYPED_TEST(stream_test, read_exactly_puts_pieces_together) {
  auto writing = spawn([this] {
    for (const char* piece : {"one", "two", "three"}) {
      this->near.write_all(piece);
      this_fiber::yield();
    }
  });
  std::string got(11, '\0');
  EXPECT_EQ(11u, this->far.read_exactly(got));
  EXPECT_EQ("onetwothree", got);
}

TYPED_TEST(stream_test, read_exactly_tells_an_early_end_and_how_much_it_has) {
  this->near.write_all("abc");
  this->near.close();
  std::string got(5, '\0');
  std::error_code ec;
  EXPECT_EQ(3u, this->far.read_exactly(got, ec));
  EXPECT_EQ(errc::end_of_stream, ec);
  EXPECT_EQ("abc", got.substr(0, 3));
}

TYPED_TEST(stream_test, read_exactly_throws_a_partial_transfer) {
  this->near.write_all("abc");
  this->near.close();
  std::string got(5, '\0');
  try {
    this->far.read_exactly(got);
    FAIL() << "the stream ended early";
  } catch (const partial_transfer& e) {
    EXPECT_EQ(3u, e.bytes());
    EXPECT_EQ(errc::end_of_stream, e.code());
  }
}

TYPED_TEST(stream_test, write_all_to_a_slow_reader_delivers_all_bytes_in_order) {
  constexpr std::size_t size = 16 << 20;
  const std::vector<unsigned char> sent = pattern().take(size);
  std::size_t turns_of_others = 0;
  auto other = spawn([&] {
    for (;; ++turns_of_others) this_fiber::yield();
  });
  auto writing = spawn([&] {
    EXPECT_EQ(size, this->near.write_all(sent));
    this->near.close();
  });
  std::vector<unsigned char> got;
  std::array<unsigned char, 100'000> block;
  while (const std::size_t more = this->far.read_some(block)) {
    got.insert(got.end(), block.data(), block.data() + more);
    this_fiber::yield();
  }
  EXPECT_TRUE(got == sent);
  EXPECT_TRUE(writing.join_for(patience));
  EXPECT_GT(turns_of_others, 10u);
  other.kill();
}

TYPED_TEST(stream_test, write_parts_sends_them_in_order) {
  std::vector<std::vector<unsigned char>> parts;
  pattern bytes;
  for (std::size_t i = 0; i < 200; ++i) parts.push_back(bytes.take(i % 7 ? i * 100 : 0));
  const std::vector<const_buffer> views(parts.begin(), parts.end());
  const std::size_t size = std::accumulate(parts.begin(), parts.end(), std::size_t{0},
                                           [](auto sum, auto& p) { return sum + p.size(); });
  auto writing = spawn([&] {
    const std::size_t count = this->near.write_parts(views);
    this->near.close();
    return count;
  });
  std::vector<unsigned char> got(size);
  this->far.read_exactly(got);
  EXPECT_TRUE(got == pattern().take(size));
  EXPECT_EQ(0u, drain(this->far));
  EXPECT_EQ(size, writing.get_for(patience));
}

TYPED_TEST(stream_test, one_fiber_reads_while_another_writes) {
  constexpr std::size_t size = 4 << 20;
  const auto send = [](stream& s, std::uint64_t seed) {
    s.write_all(pattern(seed).take(size));
    s.shutdown(direction::write);
  };
  const auto expect = [](stream& s, std::uint64_t seed) {
    std::vector<unsigned char> got(size);
    s.read_exactly(got);
    EXPECT_TRUE(got == pattern(seed).take(size));
    EXPECT_EQ(0u, drain(s));
  };
  std::vector<fiber<>> all;
  all.push_back(spawn([&] { send(this->near, 1); }));
  all.push_back(spawn([&] { send(this->far, 2); }));
  all.push_back(spawn([&] { expect(this->near, 2); }));
  all.push_back(spawn([&] { expect(this->far, 1); }));
  EXPECT_EQ(4u, joinall(all, patience));
  const stopwatch since;
  this->near.close();  // closing after a full-duplex exchange does not hang
  this->far.close();
  EXPECT_LT(since.elapsed(), promptly);
}

TYPED_TEST(stream_test, several_readers_are_served_one_after_another) {
  std::vector<fiber<std::string>> readers;
  for (int i = 0; i < 5; ++i) {
    readers.push_back(spawn([this] {
      std::string got(3, '\0');
      this->far.read_some(got);
      return got;
    }));
  }
  this_fiber::yield();
  this->near.write_all("aaabbbcccdddeee");
  std::string all;
  for (auto& each : readers) all += each.get_for(patience);
  EXPECT_EQ("aaabbbcccdddeee", all);
}

TYPED_TEST(stream_test, close_while_another_fiber_reads_gives_it_ebadf_promptly) {
  auto reading = spawn([this] { return thrown_by([this] { read_text(this->far); }); });
  this_fiber::yield();
  const stopwatch since;
  this->far.close();
  EXPECT_EQ(std::errc::bad_file_descriptor, reading.get_for(patience));
  EXPECT_LT(since.elapsed(), promptly);
}

TYPED_TEST(stream_test, close_wakes_the_reader_and_the_writer) {
  shrink_buffers(this->near);
  fill(this->near);
  auto reading = spawn([this] { return thrown_by([this] { read_text(this->near); }); });
  auto writing = spawn(
      [this] { return thrown_by([this] { this->near.write_all(std::vector<char>(1 << 20)); }); });
  this_fiber::yield();
  const stopwatch since;
  this->near.close();
  EXPECT_EQ(std::errc::bad_file_descriptor, reading.get_for(patience));
  EXPECT_EQ(std::errc::bad_file_descriptor, writing.get_for(patience));
  EXPECT_LT(since.elapsed(), promptly);
}

TYPED_TEST(stream_test, descriptor_number_can_be_used_again_right_after_a_close) {
  for (int round = 0; round < 100; ++round) {
    auto old = TypeParam::connect();
    auto reading = spawn([&] { return thrown_by([&] { read_text(old.near); }); });
    this_fiber::yield();
    auto [any_number, next_far] = unix_stream::pair();
    const int number = old.near.native_handle();
    old.near.close();
    const int again = fcntl(any_number.native_handle(), F_DUPFD_CLOEXEC, number);
    EXPECT_EQ(number, again);
    unix_stream next_near = unix_stream::adopt(again);  // its waiters must not meet the old ones
    auto next_reading = spawn([&] { return read_text(next_near); });
    EXPECT_EQ(std::errc::bad_file_descriptor, reading.get_for(patience));
    next_far.write_all("x");
    EXPECT_EQ("x", next_reading.get_for(patience));
  }
}

TYPED_TEST(stream_test, read_ends_at_its_deadline) {
  const stopwatch since;
  this->far.expires_after(200ms);
  EXPECT_EQ(std::errc::timed_out, thrown_by([this] { read_text(this->far); }));
  expect_lasted(since, 200ms);
}

TYPED_TEST(stream_test, stream_works_on_after_a_deadline) {
  this->far.expires_after(20ms);
  EXPECT_EQ(std::errc::timed_out, thrown_by([this] { read_text(this->far); }));
  EXPECT_EQ(std::errc::timed_out, thrown_by([this] { read_text(this->far); }));
  this->far.expires_never();
  auto reading = spawn([this] { return read_text(this->far); });
  this_fiber::yield();
  this->near.write_all("late");
  EXPECT_EQ("late", reading.get_for(patience));
}

TYPED_TEST(stream_test, deadline_is_a_point_in_time_for_all_reads_up_to_it) {
  auto writing = spawn([this] {
    for (std::error_code ec; !ec;) {
      this->near.write_all("x", ec);
      this_fiber::sleep_for(10ms);
    }
  });
  const stopwatch since;
  this->far.reads_expire_at(std::chrono::steady_clock::now() + 200ms);
  std::vector<char> never_full(1 << 20);
  std::error_code ec;
  EXPECT_GT(this->far.read_exactly(never_full, ec), 0u);
  EXPECT_EQ(std::errc::timed_out, ec);
  expect_lasted(since, 200ms);
  writing.kill();
}

TYPED_TEST(stream_test, write_all_counts_its_deadline_over_the_whole_call) {
  shrink_buffers(this->near);
  auto slow_reading = spawn([this] {
    std::array<char, 512> block;
    while (this->far.read_some(block) != 0) this_fiber::sleep_for(5ms);
  });
  const stopwatch since;
  this->near.writes_expire_after(200ms);
  std::error_code ec;
  const std::size_t count = this->near.write_all(std::vector<char>(64 << 20), ec);
  EXPECT_EQ(std::errc::timed_out, ec);
  EXPECT_GT(count, 0u);
  expect_lasted(since, 200ms);
  slow_reading.kill();
}

TYPED_TEST(stream_test, read_and_write_deadlines_are_apart) {
  this->near.writes_expire_after(0s);
  auto reading = spawn([this] { return read_text(this->near); });
  this_fiber::yield();
  EXPECT_FALSE(reading.ready());
  this->far.reads_expire_after(0s);
  this->far.write_all("through");
  EXPECT_EQ("through", reading.get_for(patience));
}

TYPED_TEST(stream_test, shutdown_of_writing_ends_the_peers_reading_only) {
  this->near.write_all("bye");
  this->near.shutdown(direction::write);
  EXPECT_EQ("bye", read_text(this->far));
  EXPECT_EQ("", read_text(this->far));
  this->far.write_all("still here");
  EXPECT_EQ("still here", read_text(this->near));
}

TYPED_TEST(stream_test, shutdown_of_reading_ends_a_read_that_waits) {
  auto reading = spawn([this] { return read_text(this->near); });
  this_fiber::yield();
  this->near.shutdown(direction::read);
  EXPECT_EQ("", reading.get_for(patience));
}

TYPED_TEST(stream_test, shutdown_of_a_closed_stream_is_an_error) {
  this->near.close();
  EXPECT_EQ(std::errc::bad_file_descriptor,
            thrown_by([this] { this->near.shutdown(direction::both); }));
}

TYPED_TEST(stream_test, write_to_a_closed_peer_is_an_error_and_no_signal) {
  this->far.close();
  std::error_code ec;
  for (int i = 0; i < 1000 && !ec; ++i) this->near.write_all("anybody?", ec);
  EXPECT_TRUE(ec == std::errc::broken_pipe || ec == std::errc::connection_reset) << ec.message();
}

TYPED_TEST(stream_test, killed_reader_leaves_the_stream_usable) {
  auto reading = spawn([this] { read_text(this->far); });
  this_fiber::yield();
  reading.kill();
  EXPECT_TRUE(reading.successful());
  this->near.write_all("next");
  EXPECT_EQ("next", read_text(this->far));
}

TYPED_TEST(stream_test, killed_writer_leaves_the_stream_usable) {
  shrink_buffers(this->near);
  auto writing = spawn([this] { this->near.write_all(std::vector<char>(64 << 20)); });
  this_fiber::yield();
  writing.kill();
  EXPECT_TRUE(writing.successful());
  auto draining = spawn([this] { return drain(this->far); });
  this->near.write_all("end");
  this->near.close();
  EXPECT_GT(draining.get_for(patience), 3u);
}

TYPED_TEST(stream_test, calls_that_set_a_code_also_let_a_kill_through) {
  bool went_on = false;
  auto reading = spawn([&] {
    std::array<char, 8> bytes;
    std::error_code ec;
    this->far.read_some(bytes, ec);
    went_on = true;
  });
  this_fiber::yield();
  reading.kill();
  EXPECT_FALSE(went_on);
}

TYPED_TEST(stream_test, outer_time_out_ends_a_read_or_write_that_has_a_deadline_of_its_own) {
  shrink_buffers(this->near);
  this->far.reads_expire_after(1s);
  this->near.writes_expire_after(1s);
  const std::vector<char> much(64 << 20);
  const stopwatch since;
  std::error_code ec;
  timeout_scope outer(1ms);
  try {
    read_text(this->far);
    ADD_FAILURE() << "the read came to its end";
  } catch (const timeout& e) {
    EXPECT_TRUE(outer.owns(e));
  }
  outer.restart(1ms);
  try {
    this->near.write_all(much, ec);
    ADD_FAILURE() << "the write came to its end";
  } catch (const timeout& e) {
    EXPECT_TRUE(outer.owns(e));
  }
  EXPECT_LT(since.elapsed(), 900ms);
  EXPECT_TRUE(this->near.is_open());
}

TYPED_TEST(stream_test, closing_twice_is_fine) {
  this->near.close();
  this->near.close();
  EXPECT_FALSE(this->near.is_open());
  EXPECT_EQ(-1, this->near.native_handle());
}

TYPED_TEST(stream_test, empty_stream_answers_ebadf) {
  typename TypeParam::stream_type empty;
  std::array<char, 8> bytes;
  EXPECT_FALSE(empty.is_open());
  EXPECT_EQ(std::errc::bad_file_descriptor, thrown_by([&] { empty.read_some(bytes); }));
  EXPECT_EQ(std::errc::bad_file_descriptor, thrown_by([&] { empty.write_all("x"); }));
  EXPECT_EQ(std::errc::bad_file_descriptor, thrown_by([&] { empty.local_address(); }));
  EXPECT_EQ("read from closed stream: Bad file descriptor",
            text_thrown_by([&] { empty.read_some(bytes); }));
}

TYPED_TEST(stream_test, moving_hands_the_connection_and_its_deadlines_on) {
  this->near.expires_after(0s);
  typename TypeParam::stream_type moved = std::move(this->near);
  EXPECT_FALSE(this->near.is_open());
  EXPECT_EQ(std::errc::timed_out, thrown_by([&] { read_text(moved); }));
  moved.write_all("moved");
  EXPECT_EQ("moved", read_text(this->far));
}

TYPED_TEST(stream_test, destruction_closes_and_the_peer_sees_the_end) {
  { const auto gone = std::move(this->near); }
  EXPECT_EQ("", read_text(this->far));
}

TYPED_TEST(stream_test, reader_of_a_stream_that_was_closed_and_destroyed_gets_ebadf) {
  auto old = std::make_unique<typename TypeParam::stream_type>(std::move(this->near));
  auto reading = spawn([&s = *old] { return text_thrown_by([&s] { read_text(s); }); });
  this_fiber::yield();
  old->close();
  old.reset();
  EXPECT_EQ("read from closed stream: Bad file descriptor", reading.get_for(patience));
}

TYPED_TEST(stream_test, peer_sees_the_end_though_an_event_was_under_way_at_the_close) {
  for (int round = 0; round < 20; ++round) {
    auto pair = TypeParam::connect();
    auto writing = spawn([&] { pair.far.write_all("a"); });
    std::string byte(1, '\0');
    pair.near.read_exactly(byte);  // waits, so that the stream is registered with the reactor
    pair.far.write_all("b");       // the reactor has not seen this yet
    pair.near.read_exactly(byte);
    pair.near.close();
    pair.far.expires_after(2s);
    EXPECT_EQ("", read_text(pair.far));
  }
}

TYPED_TEST(stream_test, no_descriptor_is_left_behind) {
  const std::size_t before = open_descriptors();
  {
    auto pair = TypeParam::connect();
    pair.near.write_all("x");
    read_text(pair.far);
    EXPECT_EQ(before + 2, open_descriptors());
  }
  EXPECT_EQ(before, open_descriptors());
}

TYPED_TEST(stream_test, released_descriptor_can_be_adopted) {
  this->near.write_all("before");
  const int fd = this->near.release();
  EXPECT_FALSE(this->near.is_open());
  ASSERT_GE(fd, 0);
  auto adopted = TypeParam::stream_type::adopt(fd);
  EXPECT_EQ(fd, adopted.native_handle());
  adopted.write_all(" after");
  std::string got(12, '\0');
  this->far.read_exactly(got);
  EXPECT_EQ("before after", got);
}

TYPED_TEST(stream_test, adoption_makes_a_blocking_socket_cooperative) {
  const int fd = this->near.release();
  ASSERT_EQ(0, fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK));
  auto adopted = TypeParam::stream_type::adopt(fd);
  auto reading = spawn([&] { return read_text(adopted); });
  this_fiber::yield();
  this->far.write_all("x");
  EXPECT_EQ("x", reading.get_for(patience));
}

TYPED_TEST(stream_test, duplicated_descriptors_close_with_the_last_of_them) {
  auto twin = TypeParam::stream_type::adopt(dup(this->near.native_handle()));
  this->near.write_all("one ");
  twin.write_all("two");
  this->near.close();
  std::string got(7, '\0');
  this->far.read_exactly(got);
  EXPECT_EQ("one two", got);
  auto reading = spawn([this] { return read_text(this->far); });
  this_fiber::yield();
  EXPECT_FALSE(reading.ready());
  twin.close();
  EXPECT_EQ("", reading.get_for(patience));
}

TYPED_TEST(stream_test, what_cannot_be_adopted_stays_the_callers) {
  int pipe_ends[2];
  ASSERT_EQ(0, ::pipe(pipe_ends));
  std::error_code ec;
  EXPECT_FALSE(TypeParam::stream_type::adopt(pipe_ends[0], ec).is_open());
  EXPECT_EQ(std::errc::not_a_socket, ec);
  EXPECT_EQ(0, close(pipe_ends[0]));
  EXPECT_EQ(0, close(pipe_ends[1]));
  udp_socket wrong = udp_socket::bind(address::ipv4_loopback());
  TypeParam::stream_type::adopt(wrong.native_handle(), ec);
  EXPECT_EQ(std::errc::wrong_protocol_type, ec);
  EXPECT_EQ(std::errc::bad_file_descriptor, thrown_by([] { TypeParam::stream_type::adopt(-1); }));
}

}  // namespace
}  // namespace coir::net::test
