// A hundred slow queries to MongoDB at a time, by libmongoc, on one thread; and deadlines.
//
// libmongoc knows nothing of fibers. A client of its own for each connection, not a pool, which
// would watch the server from a thread, waits in poll, which is coir's hook. A query is made slow
// by JavaScript in its filter, so that the server must allow that.

#include "examples/databases/fan_out.hpp"

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <mongoc/mongoc.h>

namespace {

constexpr char usage[] =
    "usage: mongo_fan_out SERVER [--queries N] [--connections N] [--seconds S] [--deadline S]\n"
    "Makes N (100) queries of S (0.2) seconds to MongoDB at the same time, by as many connections\n"
    "or fewer, then interrupts slow ones by deadlines of S (1) seconds. SERVER is a URI such as\n"
    "mongodb://127.0.0.1:27017. Keeps one document in the collection coir.one.\n";

constexpr char database_name[] = "coir";
constexpr char collection_name[] = "one";
constexpr char mark[] = "coir fan out";  ///< by which the server's list of operations is searched
constexpr std::uint32_t interrupted = 11601;  ///< what MongoDB calls the end by killOp

/// The server's own refusal; the connection can be used further.
struct server_error : std::runtime_error {
  server_error(const char* text, std::uint32_t number) : std::runtime_error(text), code(number) {}
  std::uint32_t code;
};

/// A document that is destroyed with its owner. (bson_t is aligned by an attribute, which is lost
/// where it is an argument of a template.)
class bson {
 public:
  bson() { bson_init(&document_); }
  explicit bson(const std::string& json) {
    bson_error_t error;
    if (!bson_init_from_json(&document_, json.data(), static_cast<ssize_t>(json.size()), &error)) {
      throw std::runtime_error(error.message);
    }
  }
  bson(const bson&) = delete;
  bson& operator=(const bson&) = delete;
  ~bson() { bson_destroy(&document_); }

  bson_t* get() { return &document_; }

 private:
  bson_t document_;
};

[[noreturn]] void fail(const bson_error_t& error) {
  if (error.domain == MONGOC_ERROR_SERVER) throw server_error(error.message, error.code);
  example::call_failed(error.message);
}

/// A client. It connects with its first command, and anew after it has lost its connection.
class mongo {
 public:
  explicit mongo(const std::string& uri) {
    bson_error_t wrong;
    const std::unique_ptr<mongoc_uri_t, decltype(&mongoc_uri_destroy)> parsed(
        mongoc_uri_new_with_error(uri.c_str(), &wrong), &mongoc_uri_destroy);
    if (!parsed) throw std::runtime_error(std::string("not a URI of MongoDB: ") + wrong.message);
    client_.reset(mongoc_client_new_from_uri(parsed.get()));
    if (!client_) throw std::runtime_error("libmongoc: no memory for a client");
    mongoc_client_set_error_api(client_.get(), MONGOC_ERROR_API_VERSION_2);
    bson answer;
    if (bson_error_t error; !try_command("admin", R"({"ping": 1})", answer, error)) {
      const std::string server = mongoc_uri_get_hosts(parsed.get())->host_and_port;
      example::call_failed("no MongoDB at " + server + ": " + error.message);
    }
  }

  /// Sends a command and waits for its answer. Throws server_error, std::runtime_error, and coir's
  /// own exceptions; after both of these the next command connects anew.
  void command(const char* database, const std::string& json) {
    bson answer;
    command(database, json, answer);
  }
  /// The same, with the answer.
  void command(const char* database, const std::string& json, bson& answer) {
    bson_error_t error;
    if (!try_command(database, json, answer, error)) fail(error);
  }

  /// Makes a query of so many seconds, which finds one document; returns that as JSON.
  std::string find_slowly(double seconds) {
    const std::string ms = std::to_string(std::lround(seconds * 1000));
    bson filter(R"({"$where": "sleep()" + ms + R"() || true"})");
    bson options(std::string(R"({"comment": ")") + mark + R"("})");
    const std::unique_ptr<mongoc_collection_t, decltype(&mongoc_collection_destroy)> collection(
        mongoc_client_get_collection(client_.get(), database_name, collection_name),
        &mongoc_collection_destroy);
    const std::unique_ptr<mongoc_cursor_t, decltype(&mongoc_cursor_destroy)> cursor(
        mongoc_collection_find_with_opts(collection.get(), filter.get(), options.get(), nullptr),
        &mongoc_cursor_destroy);
    const bson_t* found = nullptr;
    if (mongoc_cursor_next(cursor.get(), &found)) {
      const std::unique_ptr<char, decltype(&bson_free)> text(
          bson_as_relaxed_extended_json(found, nullptr), &bson_free);
      return text.get();
    }
    bson_error_t error;
    if (mongoc_cursor_error(cursor.get(), &error)) fail(error);
    return "";
  }

 private:
  bool try_command(const char* database, const std::string& json, bson& answer,
                   bson_error_t& error) {
    bson_destroy(answer.get());  // the call makes it anew
    return mongoc_client_command_simple(client_.get(), database, bson(json).get(), nullptr,
                                        answer.get(), &error);
  }

  struct destroy_client {
    void operator()(mongoc_client_t* client) const { mongoc_client_destroy(client); }
  };

  std::unique_ptr<mongoc_client_t, destroy_client> client_;
};

class mongo_database {
 public:
  using connection = mongo;

  explicit mongo_database(std::string uri) : uri_(std::move(uri)) {}

  std::unique_ptr<connection> connect() const { return std::make_unique<connection>(uri_); }

  /// Puts the document that the queries look at.
  void prepare() const {
    connect()->command(
        database_name,
        std::string(R"({"update": ")") + collection_name +
            R"(", "updates": [{"q": {"_id": 1}, "u": {"_id": 1}, "upsert": true}]})");
  }

  static void wait_for(connection& at, double seconds) {
    if (at.find_slowly(seconds).find("_id") == std::string::npos) {
      throw std::runtime_error("an odd answer");
    }
  }

  /// The numbers of our slow operations at the server.
  static std::vector<std::int64_t> waiting(connection& at) {
    bson answer;
    at.command("admin", std::string(R"({"currentOp": 1, "command.comment": ")") + mark + R"("})",
               answer);
    std::vector<std::int64_t> found;
    bson_iter_t top;
    bson_iter_t operation;
    if (!bson_iter_init_find(&top, answer.get(), "inprog") ||
        !bson_iter_recurse(&top, &operation)) {
      throw std::runtime_error("the server does not tell what is in progress");
    }
    while (bson_iter_next(&operation)) {
      bson_iter_t field;
      if (bson_iter_recurse(&operation, &field) && bson_iter_find(&field, "opid")) {
        found.push_back(bson_iter_as_int64(&field));
      }
    }
    return found;
  }

  static long count_waiting(connection& at) { return static_cast<long>(waiting(at).size()); }

 private:
  std::string uri_;
};

/// libmongoc closes its connection when a read on it fails, at which the server ends the operation;
/// the client connects anew when it is used again.
void leave_plain_call(mongo_database& database, const example::fan_out_options& how) {
  const auto other = database.connect();
  const auto client = database.connect();
  const double seconds = example::left_after(
      how.deadline, [&] { mongo_database::wait_for(*client, example::slow_query_seconds); });
  const long left = example::still_waiting(database, *other);
  mongo_database::wait_for(*client, 0);
  std::printf("plain call: left after %.3f s, connection closed, %ld still at the server\n",
              seconds, left);
}

/// libmongoc has no call that only sends. So the query waits on a fiber of its own, and when that
/// takes too long the server is told to end the operation, so that the connection stays whole.
void leave_and_go_on(mongo_database& database, const example::fan_out_options& how) {
  const auto other = database.connect();
  const auto kept = database.connect();
  coir::fiber<> slow = coir::spawn([&] {
    try {
      mongo_database::wait_for(*kept, example::slow_query_seconds);
    } catch (const server_error& error) {
      if (error.code == interrupted) return;
      throw;
    }
    throw std::logic_error("the slow query came to its end");
  });
  const double seconds = example::left_after(how.deadline, [&] { slow.join(); });
  for (const std::int64_t operation : mongo_database::waiting(*other)) {
    other->command("admin", R"({"killOp": 1, "op": )" + std::to_string(operation) + "}");
  }
  slow.get();
  mongo_database::wait_for(*kept, 0);
  std::printf("own wait: left after %.3f s, query ended, %ld still at the server, and it is well\n",
              seconds, example::still_waiting(database, *other));
}

/// The library's global state, for as long as it lives.
struct mongo_library {
  mongo_library() { mongoc_init(); }
  mongo_library(const mongo_library&) = delete;
  mongo_library& operator=(const mongo_library&) = delete;
  ~mongo_library() { mongoc_cleanup(); }
};

}  // namespace

int main(int argc, char** argv) {
  return example::fan_out_main("mongo_fan_out", usage, argc, argv,
                               [](const example::fan_out_options& how) {
                                 const mongo_library library;
                                 mongo_database database(how.server);
                                 database.prepare();
                                 example::fan_out(database, how);
                                 leave_plain_call(database, how);
                                 leave_and_go_on(database, how);
                               });
}
