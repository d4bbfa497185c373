// A hundred slow queries to PostgreSQL at a time, by libpq, on one thread; and deadlines.
//
// libpq knows nothing of fibers. PQconnectdb and PQexec wait in poll, which is coir's hook.

#include "examples/databases/fan_out.hpp"

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>

#include <libpq-fe.h>

namespace {

constexpr char usage[] =
    "usage: postgres_fan_out SERVER [--queries N] [--connections N] [--seconds S] [--deadline S]\n"
    "Makes N (100) queries of S (0.2) seconds to PostgreSQL at the same time, by as many\n"
    "connections or fewer, then interrupts slow ones by deadlines of S (1) seconds. SERVER is "
    "what\n"
    "psql takes: 'host=/run/postgresql dbname=postgres', or postgresql://user@host/name.\n";

struct clear_result {
  void operator()(PGresult* result) const { PQclear(result); }
};
using pg_result = std::unique_ptr<PGresult, clear_result>;

struct free_cancel {
  void operator()(PGcancel* cancel) const { PQfreeCancel(cancel); }
};

/// The server's own refusal of a query; the connection can be used further.
struct query_error : std::runtime_error {
  query_error(const char* text, std::string state)
      : std::runtime_error(text), sqlstate(std::move(state)) {}
  std::string sqlstate;
};

class postgres {
 public:
  explicit postgres(const std::string& server) : connection_(PQconnectdb(server.c_str())) {
    if (!connection_) throw std::runtime_error("libpq: no memory for a connection");
    if (PQstatus(connection_.get()) != CONNECTION_OK) fail();
  }

  /// The first value of the answer, by PQexec. Throws query_error; and coir's own exceptions, after
  /// which the connection must be closed, for libpq would take the answer that is still to come for
  /// that of the next query.
  std::string value(const std::string& query) {
    return value_of(pg_result(PQexec(connection_.get(), query.c_str())));
  }

  /// Sends a query; its answer is to be received.
  void send(const std::string& query) {
    if (!PQsendQuery(connection_.get(), query.c_str())) fail();
  }

  /// The first value of the answer to what was sent. When coir ends the wait the connection is as
  /// it was: the answer is still to be received.
  std::string receive() {
    while (PQisBusy(connection_.get())) {
      example::wait_readable(PQsocket(connection_.get()));
      if (!PQconsumeInput(connection_.get())) fail();
    }
    pg_result first(PQgetResult(connection_.get()));
    while (pg_result(PQgetResult(connection_.get()))) continue;  // up to the null that ends it
    return value_of(std::move(first));
  }

  /// Asks the server to end the query, over a connection that libpq makes for this.
  void cancel() {
    const std::unique_ptr<PGcancel, free_cancel> request(PQgetCancel(connection_.get()));
    char reason[256] = "not connected";
    if (!request || !PQcancel(request.get(), reason, sizeof reason)) example::call_failed(reason);
  }

 private:
  struct close_connection {
    void operator()(PGconn* connection) const { PQfinish(connection); }
  };

  /// Errors have a state when the server sent them, and none when libpq made them up.
  std::string value_of(pg_result result) {
    if (PQresultStatus(result.get()) == PGRES_TUPLES_OK && PQntuples(result.get()) > 0) {
      return PQgetvalue(result.get(), 0, 0);
    }
    const char* const state = result ? PQresultErrorField(result.get(), PG_DIAG_SQLSTATE) : nullptr;
    if (!state) fail();
    throw query_error(PQresultErrorMessage(result.get()), state);
  }

  [[noreturn]] void fail() { example::call_failed(PQerrorMessage(connection_.get())); }

  std::unique_ptr<PGconn, close_connection> connection_;
};

std::string sleep_query(double seconds) {
  return "SELECT 'slept' FROM pg_sleep(" + std::to_string(seconds) + ")";
}

class postgres_database {
 public:
  using connection = postgres;

  explicit postgres_database(std::string server) : server_(std::move(server)) {}

  std::unique_ptr<connection> connect() const { return std::make_unique<connection>(server_); }

  static void wait_for(connection& at, double seconds) {
    if (at.value(sleep_query(seconds)) != "slept") throw std::runtime_error("an odd answer");
  }

  static long count_waiting(connection& at) {
    const std::string count =
        at.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
    return std::strtol(count.c_str(), nullptr, 10);
  }

 private:
  std::string server_;
};

/// libpq loses track when PQexec is interrupted. So the query is cancelled, lest it keep the server
/// busy, and the connection closed.
void leave_plain_call(postgres_database& database, const example::fan_out_options& how) {
  const auto other = database.connect();
  double seconds = 0;
  {
    const auto doomed = database.connect();
    seconds = example::left_after(
        how.deadline, [&] { postgres_database::wait_for(*doomed, example::slow_query_seconds); });
    doomed->cancel();
  }
  std::printf("plain call: left after %.3f s, connection closed, %ld still at the server\n",
              seconds, example::still_waiting(database, *other));
}

/// The wait is ours, so that the connection stays whole: the query is cancelled, its answer, which
/// says so, received.
void leave_and_go_on(postgres_database& database, const example::fan_out_options& how) {
  const auto other = database.connect();
  const auto kept = database.connect();
  kept->send(sleep_query(example::slow_query_seconds));
  const double seconds = example::left_after(how.deadline, [&] { kept->receive(); });
  kept->cancel();
  std::string state;
  try {
    kept->receive();
  } catch (const query_error& error) {
    state = error.sqlstate;
  }
  if (state != "57014") throw std::runtime_error("the query was not cancelled");
  const std::string well = kept->value("SELECT 'well'");
  std::printf("own wait: left after %.3f s, query ended, %ld still at the server, and it is %s\n",
              seconds, example::still_waiting(database, *other), well.c_str());
}

}  // namespace

int main(int argc, char** argv) {
  return example::fan_out_main("postgres_fan_out", usage, argc, argv,
                               [](const example::fan_out_options& how) {
                                 postgres_database database(how.server);
                                 example::fan_out(database, how);
                                 leave_plain_call(database, how);
                                 leave_and_go_on(database, how);
                               });
}
