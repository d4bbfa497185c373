/// A connection to Redis by hiredis's blocking calls. For fibers under the hooks: a call parks the
/// fiber that makes it. One fiber at a time.
#pragma once

#include "examples/databases/hooked_call.hpp"

#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <hiredis/hiredis.h>

namespace example {

/// The server's own refusal of a command; the connection can be used further.
struct redis_error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct free_redis_reply {
  void operator()(redisReply* reply) const { freeReplyObject(reply); }
};
using redis_reply = std::unique_ptr<redisReply, free_redis_reply>;

/// The text of a reply; empty when it is null.
inline std::string_view text_of(const redisReply& reply) {
  return reply.str ? std::string_view(reply.str, static_cast<std::size_t>(reply.len))
                   : std::string_view();
}

class redis {
 public:
  /// Connects to `server`, the path of a socket or HOST:PORT, and logs in with the password in the
  /// environment variable REDIS_PASSWORD if there is one. Throws std::runtime_error when nobody is
  /// there and when the password is not right.
  explicit redis(const std::string& server);

  /// Sends a command and waits for its answer, by redisCommandArgv. Throws redis_error when the
  /// server refuses it, std::runtime_error when the connection is lost, and coir's own exceptions;
  /// after these two the connection is lost, too.
  redis_reply command(const std::vector<std::string>& words);

  /// Sends a command; its answer is to be received.
  void send(const std::vector<std::string>& words);
  /// Waits for the answer to what was sent. When coir ends the wait the connection is as it was:
  /// the answer is still to be received.
  redis_reply receive();

 private:
  struct close_connection {
    void operator()(redisContext* context) const { redisFree(context); }
  };

  void log_in(const std::string& server);
  redis_reply checked(void* answer);
  [[noreturn]] void fail();

  std::unique_ptr<redisContext, close_connection> context_;
};

/// The words of a command as hiredis wants them.
class redis_words {
 public:
  explicit redis_words(const std::vector<std::string>& words) {
    for (const std::string& word : words) {
      starts_.push_back(word.data());
      lengths_.push_back(word.size());
    }
  }
  int count() const { return static_cast<int>(starts_.size()); }
  const char** starts() { return starts_.data(); }
  const std::size_t* lengths() const { return lengths_.data(); }

 private:
  std::vector<const char*> starts_;
  std::vector<std::size_t> lengths_;
};

inline redis::redis(const std::string& server) {
  const std::size_t colon = server.rfind(':');
  if (server.find('/') != std::string::npos || colon == std::string::npos) {
    context_.reset(redisConnectUnix(server.c_str()));
  } else {
    const int port = std::atoi(server.c_str() + colon + 1);
    context_.reset(redisConnect(server.substr(0, colon).c_str(), port));
  }
  if (!context_) throw std::runtime_error("hiredis: no memory for a connection");
  if (context_->err != 0) call_failed("no Redis at " + server + ": " + context_->errstr);
  log_in(server);
}

inline void redis::log_in(const std::string& server) {
  const char* const password = std::getenv("REDIS_PASSWORD");
  try {
    if (password) command({"AUTH", password});
    command({"PING"});
  } catch (const redis_error& error) {
    throw std::runtime_error("Redis at " + server + " refuses to talk: " + error.what() +
                             " (its password is taken from REDIS_PASSWORD, which is " +
                             (password ? "set)" : "not set)"));
  }
}

inline redis_reply redis::command(const std::vector<std::string>& words) {
  redis_words argv(words);
  return checked(redisCommandArgv(context_.get(), argv.count(), argv.starts(), argv.lengths()));
}

inline void redis::send(const std::vector<std::string>& words) {
  redis_words argv(words);
  const int added =
      redisAppendCommandArgv(context_.get(), argv.count(), argv.starts(), argv.lengths());
  int is_sent = 0;
  while (added == REDIS_OK && !is_sent) {
    if (redisBufferWrite(context_.get(), &is_sent) != REDIS_OK) break;
  }
  if (!is_sent) fail();
}

inline redis_reply redis::receive() {
  wait_readable(context_->fd);
  void* answer = nullptr;
  if (redisGetReply(context_.get(), &answer) != REDIS_OK) fail();
  return checked(answer);
}

inline redis_reply redis::checked(void* answer) {
  redis_reply reply(static_cast<redisReply*>(answer));
  if (!reply) fail();
  if (reply->type == REDIS_REPLY_ERROR) throw redis_error(std::string(text_of(*reply)));
  return reply;
}

inline void redis::fail() {
  call_failed(std::string("the connection to Redis is lost: ") +
              (context_->err != 0 ? context_->errstr : "no memory"));
}

}  // namespace example
