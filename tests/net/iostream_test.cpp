// Formatted input and output over connections.
#include "tests/net/support.hpp"

#include <iomanip>
#include <istream>
#include <limits>
#include <memory>
#include <string>
#include <utility>

namespace coir::net::test {
namespace {

struct net_iostream : testing::Test {
  net_iostream() {
    auto both = unix_stream::pair();
    near = std::move(both.first);
    far = std::move(both.second);
    near.expires_after(patience);
    far.expires_after(patience);
  }
  std::string receive(std::size_t size) {
    std::string text(size, '\0');
    far.read_exactly(text);
    return text;
  }
  unix_stream near, far;
};

TEST_F(net_iostream, lines_and_numbers_go_both_ways) {
  auto peer = spawn([&] {
    iostream io(far);
    std::string word;
    int number = 0;
    io >> word >> number;
    io << word << ' ' << std::setw(6) << std::setfill('0') << number + 1 << '\n' << std::flush;
  });
  iostream io(near);
  io << "answer " << 41 << '\n' << std::flush;
  std::string line;
  EXPECT_TRUE(std::getline(io, line));
  EXPECT_EQ("answer 000042", line);
  peer.get();
}

TEST_F(net_iostream, nothing_goes_out_before_it_is_flushed_or_the_buffer_is_full) {
  iostream io(near, 8);
  io << "1234567";
  std::error_code ec;
  far.reads_expire_after(0s);
  char byte;
  EXPECT_EQ(0u, far.read_some({&byte, 1}, ec));
  EXPECT_EQ(std::errc::timed_out, ec);
  far.expires_after(patience);
  io << "89" << std::flush;
  EXPECT_EQ("123456789", receive(9));
}

TEST_F(net_iostream, a_read_that_must_wait_flushes_first) {
  auto peer = spawn([&] {
    EXPECT_EQ("ping\n", receive(5));
    far.write_all("pong\n");
  });
  iostream io(near);
  io << "ping\n";
  std::string word;
  io >> word;
  EXPECT_EQ("pong", word);
  peer.get();
}

TEST_F(net_iostream, its_end_writes_what_the_buffer_holds) {
  { iostream(near) << "the rest"; }
  EXPECT_EQ("the rest", receive(8));
}

TEST_F(net_iostream, a_stream_that_it_owns_is_closed_with_it) {
  { iostream(std::make_unique<unix_stream>(std::move(near))) << "bye"; }
  EXPECT_EQ("bye", receive(3));
  EXPECT_EQ(0u, drain(far));
}

TEST_F(net_iostream, large_blocks_pass_unchanged_through_small_buffers) {
  const std::vector<unsigned char> sent = pattern(5).take(1'000'000);
  auto peer = spawn([&] {
    iostream io(far, 1);
    io.write(reinterpret_cast<const char*>(sent.data()), std::streamsize(sent.size()));
    EXPECT_TRUE(io.flush());
  });
  std::vector<unsigned char> got(sent.size());
  iostream io(near, 1000);
  EXPECT_TRUE(io.read(reinterpret_cast<char*>(got.data()), std::streamsize(got.size())));
  EXPECT_TRUE(got == sent);
  peer.get();
}

TEST_F(net_iostream, the_end_of_the_stream_is_eof_and_no_error) {
  far.write_all("last line without its end");
  far.close();
  iostream io(near);
  std::string line;
  EXPECT_TRUE(std::getline(io, line));
  EXPECT_EQ("last line without its end", line);
  EXPECT_FALSE(std::getline(io, line));
  EXPECT_TRUE(io.eof());
  EXPECT_FALSE(io.bad());
  EXPECT_FALSE(io.error());
}

TEST_F(net_iostream, a_deadline_is_badbit_and_the_error_is_kept) {
  near.reads_expire_after(50ms);
  iostream io(near);
  std::string line;
  const stopwatch since;
  EXPECT_FALSE(std::getline(io, line));
  expect_lasted(since, 50ms);
  EXPECT_TRUE(io.bad());
  EXPECT_EQ(std::errc::timed_out, io.error());
  io.clear();
  near.expires_after(patience);
  far.write_all("later\n");
  EXPECT_TRUE(std::getline(io, line));
  EXPECT_EQ("later", line);
}

TEST_F(net_iostream, an_error_of_writing_is_badbit) {
  far.close();
  iostream io(near);
  io << "x" << std::flush;
  EXPECT_TRUE(io.bad());
  EXPECT_EQ(std::errc::broken_pipe, io.error());
}

TEST_F(net_iostream, errors_are_thrown_where_the_program_asks_for_it) {
  near.reads_expire_after(0s);
  iostream io(near);
  io.exceptions(std::ios::badbit);
  std::string line;
  EXPECT_EQ(std::errc::timed_out, thrown_by([&] { std::getline(io, line); }));
}

TEST_F(net_iostream, a_kill_passes_through_formatted_input_and_output) {
  shrink_buffers(near);
  fill(near);
  for (const bool reads : {true, false}) {
    bool was_killed = false;
    auto user = spawn([&] {
      iostream io(near, 4);
      std::string word;
      try {
        if (reads) {
          io >> word;
        } else {
          io << "more than fits" << std::flush;
        }
      } catch (const fiber_exit&) {
        was_killed = true;
        throw;
      }
    });
    this_fiber::yield();
    user.kill();
    EXPECT_TRUE(was_killed);
  }
}

TEST_F(net_iostream, the_end_of_a_time_limit_passes_through) {
  iostream io(near);
  int number = 0;
  EXPECT_THROW(with_timeout(20ms, [&] { io >> number; }), timeout);
  io.clear();
  far.write_all("7\n");
  EXPECT_TRUE(io >> number);
  EXPECT_EQ(7, number);
  near.reads_expire_after(0s);
  EXPECT_NO_THROW(io >> number);  // an error is a state again
  EXPECT_TRUE(io.bad());
}

TEST_F(net_iostream, with_unitbuf_an_error_in_a_destructor_ends_nothing) {
  far.close();
  iostream io(near);
  io << std::unitbuf << "x";
  EXPECT_TRUE(io.bad());
  EXPECT_EQ(std::errc::broken_pipe, io.error());
}

TEST_F(net_iostream, a_buffer_of_no_bytes_is_refused) {
  EXPECT_THROW(iostream(near, 0), std::invalid_argument);
}

}  // namespace
}  // namespace coir::net::test
