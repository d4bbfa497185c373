// A hundred slow queries to MariaDB at a time, by its client library, on one thread; and deadlines.
//
// libmariadb knows nothing of fibers. mysql_real_connect and mysql_real_query wait in poll and
// recv, which are coir's hooks.

#include "examples/databases/fan_out.hpp"

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>

#include <errmsg.h>
#include <mysql.h>
#include <mysqld_error.h>

namespace {

constexpr char usage[] =
    "usage: mariadb_fan_out SERVER [--queries N] [--connections N] [--seconds S] [--deadline S]\n"
    "Makes N (100) queries of S (0.2) seconds to MariaDB at the same time, by as many connections\n"
    "or fewer, then interrupts slow ones by deadlines of S (1) seconds. SERVER is HOST:PORT or "
    "the\n"
    "path of a socket; the user is MARIADB_USER (root), the password MARIADB_PASSWORD (none).\n";

/// The server's own refusal of a query; the connection can be used further.
struct query_error : std::runtime_error {
  query_error(const char* text, unsigned code) : std::runtime_error(text), number(code) {}
  unsigned number;
};

std::string variable_or(const char* name, const char* otherwise) {
  const char* const value = std::getenv(name);
  return value ? value : otherwise;
}

class mariadb {
 public:
  explicit mariadb(const std::string& server) : connection_(mysql_init(nullptr)) {
    if (!connection_) throw std::runtime_error("libmariadb: no memory for a connection");
    const std::size_t colon = server.rfind(':');
    const bool is_path = server.find('/') != std::string::npos || colon == std::string::npos;
    const std::string host = is_path ? "localhost" : server.substr(0, colon);
    const auto port = is_path ? 0u : static_cast<unsigned>(std::atoi(server.c_str() + colon + 1));
    const unsigned protocol = is_path ? MYSQL_PROTOCOL_SOCKET : MYSQL_PROTOCOL_TCP;
    mysql_optionsv(connection_.get(), MYSQL_OPT_PROTOCOL, &protocol);
    if (!mysql_real_connect(connection_.get(), host.c_str(),
                            variable_or("MARIADB_USER", "root").c_str(),
                            variable_or("MARIADB_PASSWORD", "").c_str(), nullptr, port,
                            is_path ? server.c_str() : nullptr, 0)) {
      example::call_failed("no MariaDB at " + server + ": " + mysql_error(connection_.get()));
    }
  }

  /// The first value of the answer, by mysql_real_query. Throws query_error; and coir's own
  /// exceptions, after which the library has closed the connection.
  std::string value(const std::string& query) {
    if (mysql_real_query(connection_.get(), query.data(), query.size()) != 0) fail();
    return first_value();
  }

  /// Sends a query; its answer is to be received.
  void send(const std::string& query) {
    if (mysql_send_query(connection_.get(), query.data(), query.size()) != 0) fail();
  }

  /// The first value of the answer to what was sent. When coir ends the wait for its beginning the
  /// connection is as it was: the answer is still to be received.
  std::string receive() {
    example::wait_readable(mysql_get_socket(connection_.get()));
    if (mysql_read_query_result(connection_.get()) != 0) fail();
    return first_value();
  }

  /// How the server calls this connection.
  unsigned long id() { return mysql_thread_id(connection_.get()); }

 private:
  struct close_connection {
    void operator()(MYSQL* connection) const { mysql_close(connection); }
  };
  struct free_result {
    void operator()(MYSQL_RES* result) const { mysql_free_result(result); }
  };

  std::string first_value() {
    const std::unique_ptr<MYSQL_RES, free_result> rows(mysql_store_result(connection_.get()));
    if (!rows && mysql_field_count(connection_.get()) == 0) return "";  // no rows to be had
    if (!rows) fail();
    const MYSQL_ROW row = mysql_fetch_row(rows.get());
    return row && row[0] ? row[0] : "";
  }

  [[noreturn]] void fail() {
    const unsigned error = mysql_errno(connection_.get());
    const bool is_library_own = IS_MYSQL_ERROR(error) || IS_MARIADB_ERROR(error);
    if (!is_library_own) throw query_error(mysql_error(connection_.get()), error);
    example::call_failed(mysql_error(connection_.get()));
  }

  std::unique_ptr<MYSQL, close_connection> connection_;
};

std::string sleep_query(double seconds) { return "SELECT SLEEP(" + std::to_string(seconds) + ")"; }

class mariadb_database {
 public:
  using connection = mariadb;

  explicit mariadb_database(std::string server) : server_(std::move(server)) {}

  std::unique_ptr<connection> connect() const { return std::make_unique<connection>(server_); }

  static void wait_for(connection& at, double seconds) {
    if (at.value(sleep_query(seconds)) != "0") throw std::runtime_error("an odd answer");
  }

  static long count_waiting(connection& at) {
    const std::string count =
        at.value("SELECT COUNT(*) FROM information_schema.processlist WHERE STATE = 'User sleep'");
    return std::strtol(count.c_str(), nullptr, 10);
  }

 private:
  std::string server_;
};

/// The library closes a connection when a read on it fails; the server learns it when the query is
/// done. So it is told, over another connection.
void leave_plain_call(mariadb_database& database, const example::fan_out_options& how) {
  const auto other = database.connect();
  const auto doomed = database.connect();
  const std::string id = std::to_string(doomed->id());
  const double seconds = example::left_after(
      how.deadline, [&] { mariadb_database::wait_for(*doomed, example::slow_query_seconds); });
  other->value("KILL CONNECTION " + id);
  std::printf("plain call: left after %.3f s, connection closed, %ld still at the server\n",
              seconds, example::still_waiting(database, *other));
}

/// The wait is ours, so that the connection stays whole: the query is ended over another
/// connection, and its answer, which says so, received.
void leave_and_go_on(mariadb_database& database, const example::fan_out_options& how) {
  const auto other = database.connect();
  const auto kept = database.connect();
  kept->send(sleep_query(example::slow_query_seconds));
  const double seconds = example::left_after(how.deadline, [&] { kept->receive(); });
  other->value("KILL QUERY " + std::to_string(kept->id()));
  unsigned error = 0;
  try {
    kept->receive();
  } catch (const query_error& e) {
    error = e.number;
  }
  if (error != ER_QUERY_INTERRUPTED) throw std::runtime_error("the query was not interrupted");
  const std::string well = kept->value("SELECT 'well'");
  std::printf("own wait: left after %.3f s, query ended, %ld still at the server, and it is %s\n",
              seconds, example::still_waiting(database, *other), well.c_str());
}

/// The library's global state, for as long as it lives.
struct mariadb_library {
  mariadb_library() {
    if (mysql_library_init(0, nullptr, nullptr) != 0) {
      throw std::runtime_error("libmariadb cannot start");
    }
  }
  mariadb_library(const mariadb_library&) = delete;
  mariadb_library& operator=(const mariadb_library&) = delete;
  ~mariadb_library() { mysql_library_end(); }
};

}  // namespace

int main(int argc, char** argv) {
  return example::fan_out_main("mariadb_fan_out", usage, argc, argv,
                               [](const example::fan_out_options& how) {
                                 const mariadb_library library;
                                 mariadb_database database(how.server);
                                 example::fan_out(database, how);
                                 leave_plain_call(database, how);
                                 leave_and_go_on(database, how);
                               });
}
