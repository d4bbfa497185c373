// stream_server: what it serves, how it fails, and how it stops.
#include "tests/net/server_support.hpp"

#include <coir/handlers.hpp>

#include <memory>
#include <thread>

namespace coir::net::test {
namespace {

const address loopback = address::ipv4_loopback();

/// A handler that counts itself in, waits for the event, and answers with a byte.
struct held_handler {
  event& go;
  int& begun;
  void operator()(stream& client) {
    ++begun;
    go.wait();
    client.write_all("x");
  }
};

TEST(stream_server, the_handlers_return_closes_the_connection) {
  stream_server server(loopback, [](stream& client) { client.write_all("bye"); });
  server.start();
  EXPECT_TRUE(server.is_running());
  tcp_stream client = client_of(server.local_address());
  std::string text(3, '\0');
  client.read_exactly(text);
  EXPECT_EQ("bye", text);
  EXPECT_TRUE(is_ended(client));
  EXPECT_TRUE(eventually([&] { return server.counters().active == 0; }));
  EXPECT_EQ(1u, server.counters().accepted);
}

TEST(stream_server, a_handler_may_ask_for_the_peer) {
  address told;
  stream_server server(loopback, [&](stream& client, const address& peer) {
    told = peer;
    echo(client);
  });
  server.start();
  tcp_stream client = client_of(server.local_address());
  EXPECT_EQ("hello", exchange(client, "hello"));
  EXPECT_EQ(client.local_address(), told);
}

TEST(stream_server, a_handler_may_hold_what_cannot_be_copied) {
  stream_server server(loopback, [text = std::make_unique<std::string>("mine")](stream& client) {
    client.write_all(*text);
  });
  server.start();
  tcp_stream client = client_of(server.local_address());
  std::string text(4, '\0');
  client.read_exactly(text);
  EXPECT_EQ("mine", text);
}

TEST(stream_server, several_addresses_are_served_and_a_path_it_made_goes) {
  const scratch_directory folder;
  const address path = address::unix_path(folder / "socket");
  stream_server server({loopback, path, loopback}, echo);
  server.start();
  const std::vector<address> locals = server.local_addresses();
  ASSERT_EQ(3u, locals.size());
  EXPECT_NE(0, locals[0].port());
  EXPECT_NE(locals[0].port(), locals[2].port());
  EXPECT_EQ(path, locals[1]);
  auto first = client_of(locals[0]);
  auto second = client_of<unix_stream>(path);
  auto third = client_of(locals[2]);
  EXPECT_EQ("1", exchange(first, "1"));
  EXPECT_EQ("2", exchange(second, "2"));
  EXPECT_EQ("3", exchange(third, "3"));
  EXPECT_EQ(3u, server.stop());
  EXPECT_FALSE(std::filesystem::exists(folder / "socket"));
  for (const auto& where : {locals[0], locals[2]}) EXPECT_TRUE(is_refused(where));
}

TEST(stream_server, listeners_that_are_ready_are_served_and_closed) {
  tcp_listener ready = tcp_listener::listen(loopback);
  const address where = ready.local_address();
  tcp_stream early = client_of(where);  // it waits in the queue
  stream_server server(std::move(ready), echo);
  server.start();
  EXPECT_EQ(where, server.local_address());
  EXPECT_EQ("early", exchange(early, "early"));
  server.stop();
  EXPECT_TRUE(is_refused(where));
}

TEST(stream_server, what_makes_no_sense_is_refused_with_what_to_do) {
  stream_server::options with_backlog;
  with_backlog.backlog = 5;
  EXPECT_THROW(stream_server(tcp_listener::listen(loopback), echo, with_backlog),
               std::invalid_argument);
  EXPECT_THROW(stream_server(endpoints(), echo), std::invalid_argument);
  stream_server::options without_places;
  without_places.max_connections = 0;
  EXPECT_THROW(stream_server(loopback, echo, without_places), std::invalid_argument);
}

TEST(stream_server, an_address_that_is_taken_is_named_and_the_server_may_be_started_later) {
  auto taken = std::make_unique<tcp_listener>(tcp_listener::listen(loopback));
  const address where = taken->local_address();
  stream_server server({loopback, where}, echo);
  const std::size_t before = open_descriptors();
  EXPECT_EQ("listen on " + where.to_string() + ": Address already in use",
            text_thrown_by([&] { server.start(); }));
  std::error_code ec;
  server.start(ec);
  EXPECT_EQ(std::errc::address_in_use, ec);
  EXPECT_FALSE(server.is_running());
  EXPECT_TRUE(server.local_addresses().empty());
  EXPECT_EQ(before, open_descriptors());
  taken.reset();
  server.start();
  tcp_stream client = client_of(where);
  EXPECT_EQ("now", exchange(client, "now"));
}

TEST(stream_server, it_starts_once) {
  stream_server server(loopback, echo);
  EXPECT_THROW(server.local_address(), std::logic_error);
  server.start();
  EXPECT_THROW(server.start(), std::logic_error);
  server.stop();
  EXPECT_THROW(server.start(), std::logic_error);
  server.serve_forever();  // returns at once
  stream_server never(loopback, echo);
  EXPECT_EQ(0u, never.stop());
  never.serve_forever();
  EXPECT_FALSE(never.is_running());
}

TEST(stream_server, serve_forever_starts_it_and_returns_when_it_was_stopped) {
  stream_server server(loopback, echo);
  auto serving = coir::spawn([&] { server.serve_forever(); });
  ASSERT_TRUE(eventually([&] { return server.is_running(); }));
  tcp_stream client = client_of(server.local_address());
  EXPECT_EQ("ping", exchange(client, "ping"));
  EXPECT_FALSE(serving.ready());
  EXPECT_EQ(1u, server.stop());
  EXPECT_TRUE(serving.join_for(patience));
  EXPECT_TRUE(is_ended(client));
  EXPECT_EQ(0u, server.stop());
}

TEST(stream_server, a_kill_in_serve_forever_stops_it) {
  stream_server server(loopback, echo);
  auto serving = coir::spawn([&] { server.serve_forever(); });
  ASSERT_TRUE(eventually([&] { return server.is_running(); }));
  const address where = server.local_address();
  tcp_stream client = client_of(where);
  EXPECT_EQ("ping", exchange(client, "ping"));
  serving.kill();
  EXPECT_FALSE(server.is_running());
  EXPECT_TRUE(is_ended(client));
  EXPECT_TRUE(is_refused(where));
}

TEST(stream_server, a_thousand_connections_at_once_are_all_served) {
  constexpr int count = 1000;
  rlimit limit;
  ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &limit));
  limit.rlim_cur = limit.rlim_max;
  ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
  if (limit.rlim_cur < 2 * count + 100) GTEST_SKIP() << "too few descriptors are allowed here";
  stream_server server(loopback, echo);
  server.start();
  const address where = server.local_address();
  std::vector<tcp_stream> clients;
  for (int i = 0; i < count; ++i) clients.push_back(client_of(where));
  EXPECT_TRUE(eventually([&] { return server.counters().active == count; }));
  for (int i = 0; i < count; ++i) clients[static_cast<std::size_t>(i)].write_all("ping");
  for (tcp_stream& client : clients) {
    std::string answer(4, '\0');
    client.read_exactly(answer);
    EXPECT_EQ("ping", answer);
  }
  clients.clear();
  EXPECT_TRUE(eventually([&] { return server.counters().active == 0; }));
  EXPECT_EQ(static_cast<std::uint64_t>(count), server.counters().accepted);
}

TEST(stream_server, one_connection_too_many_waits_unanswered_until_another_has_ended) {
  stream_server::options two;
  two.max_connections = 2;
  stream_server server(loopback, echo, two);
  server.start();
  const address where = server.local_address();
  tcp_stream first = client_of(where);
  tcp_stream second = client_of(where);
  EXPECT_EQ("1", exchange(first, "1"));
  EXPECT_EQ("2", exchange(second, "2"));
  tcp_stream third = client_of(where);
  third.write_all("3");
  third.expires_after(100ms);
  char byte;
  std::error_code ec;
  third.read_some(mutable_buffer(&byte, 1), ec);
  EXPECT_EQ(std::errc::timed_out, ec);
  EXPECT_EQ(2u, server.counters().active);
  first.close();
  third.expires_after(patience);
  third.read_exactly(mutable_buffer(&byte, 1));
  EXPECT_EQ('3', byte);
}

TEST(stream_server, stop_lets_handlers_end_within_the_grace) {
  event go;
  int begun = 0;
  stream_server server(loopback, held_handler{go, begun});
  server.start();
  const address where = server.local_address();
  tcp_stream client = client_of(where);
  ASSERT_TRUE(eventually([&] { return begun == 1; }));
  auto stopping = coir::spawn([&] { return server.stop(patience); });
  ASSERT_TRUE(eventually([&] { return !server.is_running(); }));
  EXPECT_TRUE(is_refused(where));
  EXPECT_FALSE(stopping.ready());
  go.set();
  EXPECT_EQ(0u, stopping.get());
  char byte;
  client.read_exactly(mutable_buffer(&byte, 1));
  EXPECT_EQ('x', byte);
}

TEST(stream_server, stop_kills_those_that_have_not_ended_and_says_how_many) {
  event never_set;
  int begun = 0;
  bool cleaned_up = false;
  stream_server server(loopback, [&](stream&) {
    struct note {
      bool& done;
      ~note() { done = true; }
    } at_end{cleaned_up};
    ++begun;
    never_set.wait();
  });
  server.start();
  tcp_stream one = client_of(server.local_address());
  tcp_stream other = client_of(server.local_address());
  ASSERT_TRUE(eventually([&] { return begun == 2; }));
  const stopwatch since;
  EXPECT_EQ(2u, server.stop(100ms));
  expect_lasted(since, 100ms);
  EXPECT_TRUE(cleaned_up);
  EXPECT_TRUE(is_ended(one));
  EXPECT_TRUE(is_ended(other));
  EXPECT_EQ(0u, server.counters().active);
  EXPECT_EQ(0u, server.counters().errors);
}

TEST(stream_server, a_handler_that_survives_its_kill_holds_stop_up_for_no_longer_than_a_second) {
  event go;
  int begun = 0;
  stream_server server(loopback, [&](stream&) {
    const this_fiber::no_kill stubborn;
    ++begun;
    go.wait();
  });
  server.start();
  tcp_stream client = client_of(server.local_address());
  ASSERT_TRUE(eventually([&] { return begun == 1; }));
  const stopwatch since;
  EXPECT_EQ(1u, server.stop());
  expect_lasted(since, 1000ms);
  EXPECT_EQ(1u, server.counters().active);
  go.set();
}

TEST(stream_server, a_second_stop_may_be_less_patient_than_the_first) {
  event never_set;
  int begun = 0;
  stream_server server(loopback, held_handler{never_set, begun});
  server.start();
  tcp_stream client = client_of(server.local_address());
  ASSERT_TRUE(eventually([&] { return begun == 1; }));
  auto patient = coir::spawn([&] { return server.stop(time_limit()); });
  ASSERT_TRUE(eventually([&] { return !server.is_running(); }));
  EXPECT_EQ(1u, server.stop());
  EXPECT_EQ(0u, patient.get_for(patience));
}

TEST(stream_server, a_handler_may_stop_its_own_server) {
  std::size_t killed = 99;
  stream_server* served_by = nullptr;
  stream_server server(loopback, [&](stream& client) {
    char byte;
    client.read_exactly(mutable_buffer(&byte, 1));
    if (byte != 'q') return echo(client);
    killed = served_by->stop(10ms);
    client.write_all("done");
  });
  served_by = &server;
  auto serving = coir::spawn([&] { server.serve_forever(); });
  ASSERT_TRUE(eventually([&] { return server.is_running(); }));
  tcp_stream other = client_of(server.local_address());
  other.write_all("e");
  EXPECT_EQ("ping", exchange(other, "ping"));
  tcp_stream client = client_of(server.local_address());
  client.write_all("q");
  std::string answer(4, '\0');
  client.read_exactly(answer);
  EXPECT_EQ("done", answer);
  EXPECT_EQ(1u, killed);
  EXPECT_TRUE(serving.join_for(patience));
}

TEST(stream_server, another_thread_may_stop_it) {
  stream_server server(loopback, echo);
  server.start();
  const address where = server.local_address();
  tcp_stream client = client_of(where);
  EXPECT_EQ("ping", exchange(client, "ping"));
  std::atomic<std::size_t> killed = 99;
  std::atomic<bool> is_seen = false;
  std::thread other([&] {
    killed = server.stop();
    is_seen.wait(false);
  });
  EXPECT_NO_THROW(server.serve_forever());
  is_seen = true;
  is_seen.notify_all();
  EXPECT_TRUE(is_ended(client));
  EXPECT_TRUE(is_refused(where));
  other.join();
  EXPECT_EQ(1u, killed);
}

TEST(stream_server, destroying_it_ends_what_it_serves) {
  address where;
  tcp_stream client;
  {
    stream_server server(loopback, echo);
    server.start();
    where = server.local_address();
    client = client_of(where);
    EXPECT_EQ("ping", exchange(client, "ping"));
  }
  EXPECT_TRUE(is_ended(client));
  EXPECT_TRUE(is_refused(where));
  const std::size_t before = open_descriptors();
  { stream_server unstarted(loopback, echo); }
  EXPECT_EQ(before, open_descriptors());
}

TEST(stream_server, a_handler_may_destroy_its_own_server) {
  std::unique_ptr<stream_server> server;
  bool went_on = false;
  server = std::make_unique<stream_server>(loopback, [&](stream& client) {
    server.reset();
    client.write_all("gone");
    went_on = true;
  });
  server->start();
  const address where = server->local_address();
  tcp_stream client = client_of(where);
  std::string answer(4, '\0');
  client.read_exactly(answer);
  EXPECT_EQ("gone", answer);
  EXPECT_TRUE(is_ended(client));
  EXPECT_TRUE(went_on);
  EXPECT_TRUE(is_refused(where));
}

TEST(stream_server, a_time_limit_on_the_fiber_does_not_spoil_the_destructor) {
  tcp_stream client;
  bool is_over = false;
  timeout_scope limit(patience);
  {
    stream_server server(loopback, [&](stream&) {
      const this_fiber::no_kill for_a_while;
      this_fiber::sleep_for(100ms);
      is_over = true;
    });
    server.start();
    client = client_of(server.local_address());
    while (server.counters().active == 0) this_fiber::yield();
    this_fiber::yield();  // the handler has begun
    limit.restart(20ms);
  }
  EXPECT_TRUE(limit.expired());
  EXPECT_TRUE(is_over);
  limit.cancel();
  EXPECT_TRUE(is_ended(client));
}

TEST(stream_server, what_a_handler_throws_is_told_with_its_peer_and_the_server_goes_on) {
  std::string text;
  address peer_told;
  stream_server::options how;
  how.on_error = [&](const std::exception_ptr& error, const address& peer) {
    peer_told = peer;
    try {
      std::rethrow_exception(error);
    } catch (const std::exception& e) {
      text = e.what();
    }
  };
  stream_server server(
      loopback,
      [](stream& client) {
        char byte;
        client.read_exactly(mutable_buffer(&byte, 1));
        if (byte == '!') throw std::runtime_error("no such luck");
        client.write_all({&byte, 1});
      },
      how);
  server.start();
  tcp_stream unlucky = client_of(server.local_address());
  const address peer = unlucky.local_address();
  unlucky.write_all("!");
  EXPECT_TRUE(is_ended(unlucky));
  ASSERT_TRUE(eventually([&] { return !text.empty(); }));
  EXPECT_EQ("no such luck", text);
  EXPECT_EQ(peer, peer_told);
  EXPECT_EQ(1u, server.counters().errors);
  tcp_stream next = client_of(server.local_address());
  EXPECT_EQ("?", exchange(next, "?"));
}

TEST(stream_server, without_an_error_handler_one_line_on_stderr_tells) {
  stream_server server(loopback, [](stream&) { throw std::runtime_error("out of tea"); });
  testing::internal::CaptureStderr();
  server.start();
  tcp_stream client = client_of(server.local_address());
  const std::string peer = client.local_address().to_string();
  EXPECT_TRUE(is_ended(client));
  EXPECT_TRUE(eventually([&] { return server.counters().active == 0; }));
  EXPECT_EQ("coir: the server on " + server.local_address().to_string() + ": the handler for " +
                peer + " failed: out of tea\n",
            testing::internal::GetCapturedStderr());
}

TEST(stream_server, an_error_handler_that_fails_is_told_too) {
  stream_server::options how;
  how.on_error = [](const std::exception_ptr&, const address&) { throw 7; };
  stream_server server(
      loopback, [](stream&) { throw std::runtime_error("out of tea"); }, how);
  testing::internal::CaptureStderr();
  server.start();
  tcp_stream client = client_of(server.local_address());
  EXPECT_TRUE(is_ended(client));
  EXPECT_TRUE(eventually([&] { return server.counters().active == 0; }));
  const std::string told = testing::internal::GetCapturedStderr();
  EXPECT_NE(told.npos, told.find("failed: out of tea\n")) << told;
  EXPECT_NE(told.npos, told.find("failed: an exception that is no std::exception\n")) << told;
}

/// A stream that says what it is and goes through to another.
TEST(stream_server, a_connection_can_be_wrapped_in_its_own_fiber) {
  int errors = 0;
  stream_server::options how;
  how.wrap = [](std::unique_ptr<stream> accepted) -> std::unique_ptr<stream> {
    char kind;
    accepted->read_exactly(mutable_buffer(&kind, 1));  // as a handshake would wait
    if (kind == 'n') return nullptr;
    if (kind == 't') throw std::runtime_error("bad handshake");
    accepted->write_all("wrapped ");
    return accepted;
  };
  how.on_error = [&](const std::exception_ptr&, const address&) { ++errors; };
  stream_server server(loopback, echo, how);
  server.start();
  tcp_stream slow = client_of(server.local_address());  // holds nobody up
  tcp_stream refused = client_of(server.local_address());
  refused.write_all("n");
  EXPECT_TRUE(is_ended(refused));
  tcp_stream thrown = client_of(server.local_address());
  thrown.write_all("t");
  EXPECT_TRUE(is_ended(thrown));
  tcp_stream fine = client_of(server.local_address());
  fine.write_all("ytext");
  std::string answer(12, '\0');
  fine.read_exactly(answer);
  EXPECT_EQ("wrapped text", answer);
  EXPECT_TRUE(eventually([&] { return server.counters().active == 2; }));
  EXPECT_EQ(1, errors);
  EXPECT_EQ(1u, server.counters().refused);
}

TEST(stream_server, without_descriptors_it_waits_says_so_once_and_goes_on_when_one_is_freed) {
  std::vector<tcp_stream> clients;
  stream_server server(loopback, echo);
  server.start();
  const address where = server.local_address();
  testing::internal::CaptureStderr();
  {
    constexpr int more = 8;
    const few_descriptors limit(more);
    std::error_code ec;
    while (!ec) {  // each takes one here and, if it gets it, one for the server
      clients.push_back(tcp_stream::connect(where, patience, ec));
      this_fiber::yield();
    }
    clients.pop_back();
    ASSERT_GT(server.counters().accepted, 0u);
    EXPECT_TRUE(eventually([&] { return server.counters().accept_failures > 0; }));
    const std::uint64_t failures = server.counters().accept_failures;
    coir::sleep(300ms);
    EXPECT_LE(server.counters().accept_failures, failures + 10);  // it waits, and does not spin
    clients.back().expires_after(patience);
    clients.back().write_all("ping");
    // One that was served ends, which frees two descriptors.
    clients.erase(clients.begin());
    std::string answer(4, '\0');
    clients.back().read_exactly(answer);
    EXPECT_EQ("ping", answer);
  }
  const std::string told = testing::internal::GetCapturedStderr();
  EXPECT_NE(told.npos, told.find("Too many open files")) << told;
  EXPECT_NE(told.npos, told.find("ulimit -n")) << told;
  EXPECT_EQ(told.find("cannot accept"), told.rfind("cannot accept")) << told;
}

TEST(stream_server, a_connection_for_whose_fiber_there_is_no_memory_is_closed_and_counted) {
  const spawn_hook before = set_spawn_hook([](const spawned_fiber& fresh) {
    if (fresh.name == "connection") throw std::bad_alloc();
  });
  stream_server server(loopback, echo);
  testing::internal::CaptureStderr();
  server.start();
  tcp_stream client = client_of(server.local_address());
  EXPECT_TRUE(is_ended(client));
  set_spawn_hook(before);
  EXPECT_EQ(1u, server.counters().refused);
  EXPECT_EQ(0u, server.counters().accepted);
  tcp_stream next = client_of(server.local_address());
  EXPECT_EQ("next", exchange(next, "next"));
  next.close();
  EXPECT_TRUE(eventually([&] { return server.counters().active == 0; }));
  EXPECT_EQ(0u, server.stop());
  const std::string told = testing::internal::GetCapturedStderr();
  EXPECT_NE(told.npos, told.find("cannot accept connections now")) << told;
}

TEST(stream_server, clients_that_reset_before_they_are_accepted_disturb_nobody) {
  stream_server server(loopback, echo);
  server.start();
  for (int i = 0; i < 20; ++i) {
    tcp_stream rude = client_of(server.local_address());
    const linger at_once{1, 0};
    ASSERT_EQ(0, setsockopt(rude.native_handle(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once));
  }
  tcp_stream client = client_of(server.local_address());
  EXPECT_EQ("ping", exchange(client, "ping"));
  EXPECT_EQ(0u, server.counters().errors);
}

TEST(stream_server, a_listener_that_fails_for_good_ends_serve_forever) {
  tcp_listener ready = tcp_listener::listen(loopback);
  const int fd = ready.native_handle();
  stream_server server(std::move(ready), echo);
  auto serving = coir::spawn([&] { server.serve_forever(); });
  ASSERT_TRUE(eventually([&] { return server.is_running(); }));
  testing::internal::CaptureStderr();
  ::shutdown(fd, SHUT_RDWR);
  EXPECT_TRUE(serving.join_for(patience));
  EXPECT_NE("", testing::internal::GetCapturedStderr());
  EXPECT_FALSE(server.is_running());
  EXPECT_EQ(std::errc::invalid_argument, thrown_by([&] { serving.get(); }));
}

TEST(stream_server, each_worker_accepts_for_itself_and_keeps_its_connections) {
  workers crew(3);
  std::atomic<int> served[3] = {};
  std::atomic<int> moved = 0;
  stream_server::options how;
  how.on = &crew;
  stream_server server(
      loopback,
      [&](stream& client) {
        const int worker = workers::current_number();
        ++served[worker];
        char byte;
        while (client.read_some(mutable_buffer(&byte, 1))) {
          if (workers::current_number() != worker) ++moved;
          client.write_all({&byte, 1});
        }
      },
      how);
  server.start();
  ASSERT_EQ(1u, server.local_addresses().size());
  const address where = server.local_address();
  std::vector<tcp_stream> clients;
  for (int i = 0; i < 400 && (!served[0] || !served[1] || !served[2]); ++i) {
    clients.push_back(client_of(where));
    EXPECT_EQ("p", exchange(clients.back(), "p"));
  }
  for (const auto& each : served) EXPECT_GT(each, 0);
  for (tcp_stream& client : clients) EXPECT_EQ("q", exchange(client, "q"));
  EXPECT_EQ(0, moved);
  EXPECT_EQ(clients.size(), server.stop());
  EXPECT_TRUE(is_refused(where));
  crew.join();
}

TEST(stream_server, workers_share_a_unix_path_and_the_bound_on_connections) {
  const scratch_directory folder;
  const address path = address::unix_path(folder / "socket");
  workers crew(2);
  stream_server::options how;
  how.on = &crew;
  how.max_connections = 2;
  stream_server server(path, echo, how);
  server.start();
  for (int i = 0; i < 20; ++i) {
    auto one = client_of<unix_stream>(path);
    auto other = client_of<unix_stream>(path);
    EXPECT_EQ("1", exchange(one, "1"));
    EXPECT_EQ("2", exchange(other, "2"));
    auto third = client_of<unix_stream>(path);
    third.write_all("3");
    third.expires_after(5ms);
    char byte;
    std::error_code ec;
    third.read_some(mutable_buffer(&byte, 1), ec);
    EXPECT_EQ(std::errc::timed_out, ec);
    EXPECT_EQ(2u, server.counters().active);
  }
  server.stop();
  EXPECT_FALSE(std::filesystem::exists(folder / "socket"));
  EXPECT_TRUE(is_refused<unix_stream>(path));
}

TEST(stream_server, a_fiber_of_another_worker_and_one_of_its_own_handlers_may_stop_it) {
  workers crew(2);
  for (int by_handler = 0; by_handler < 2; ++by_handler) {
    stream_server* served_by = nullptr;
    stream_server::options how;
    how.on = &crew;
    stream_server server(
        loopback,
        [&](stream& client) {
          char byte;
          client.read_exactly(mutable_buffer(&byte, 1));
          byte == 'q' ? void(served_by->stop()) : echo(client);
        },
        how);
    served_by = &server;
    server.start();
    std::vector<tcp_stream> clients;
    for (int i = 0; i < 10; ++i) clients.push_back(client_of(server.local_address()));
    if (by_handler) {
      clients.front().write_all("q");
    } else {
      crew.spawn([&] { server.stop(); });
    }
    server.serve_forever();
    EXPECT_TRUE(is_refused(server.local_address()));
  }
}

}  // namespace
}  // namespace coir::net::test
