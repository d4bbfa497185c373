// Threads that come in waves and give the allocator what allocators find hard, with sums of their
// own to be checked: memory that one thread allocates and another frees, thread-locals with
// destructors, threads that end while others keep what they allocated, exceptions, condition
// variables, names looked up, blocks that grow. It knows nothing of coir.
//
//   allocator_stress [WAVES] [THREADS]

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

constexpr unsigned life_seconds_max = 100;
constexpr std::size_t blocks_per_thread = 300;
constexpr std::size_t block_bytes_max = 20'000;
constexpr std::size_t queue_blocks_max = 64;
constexpr std::size_t lookups_per_64 = 4;

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "allocator_stress: %s\n", what);
  std::exit(1);
}

/// Memory full of one value, which is checked before it is freed.
class block {
 public:
  block(std::size_t size, unsigned char value)
      : data_(static_cast<unsigned char*>(std::malloc(size))), size_(size) {
    if (data_ == nullptr) fail("malloc");
    std::memset(data_, value, size);
  }
  block(block&& other) noexcept : data_(other.data_), size_(other.size_) { other.data_ = nullptr; }
  block(const block&) = delete;
  block& operator=(const block&) = delete;
  ~block() {
    if (data_ == nullptr) return;
    check();
    std::free(data_);
  }

  void grow(std::size_t size) {
    check();
    const unsigned char value = data_[0];
    data_ = static_cast<unsigned char*>(std::realloc(data_, size));
    if (data_ == nullptr) fail("realloc");
    if (size > size_) std::memset(data_ + size_, value, size - size_);
    size_ = size;
  }

  std::uint64_t sum() const { return std::uint64_t{data_[0]} * size_; }

 private:
  void check() const {
    for (std::size_t i = 1; i < size_; ++i) {
      if (data_[i] != data_[0]) fail("a block is damaged");
    }
  }

  unsigned char* data_;
  std::size_t size_;
};

/// Blocks on their way from the thread that allocated them to the one that frees them.
class queue {
 public:
  void put(block&& b) {
    std::unique_lock lock(mutex_);
    has_room_.wait(lock, [this] { return blocks_.size() < queue_blocks_max; });
    blocks_.push_back(std::move(b));
    has_blocks_.notify_one();
  }

  block take() {
    std::unique_lock lock(mutex_);
    has_blocks_.wait(lock, [this] { return !blocks_.empty(); });
    block result = std::move(blocks_.front());
    blocks_.pop_front();
    has_room_.notify_one();
    return result;
  }

 private:
  std::mutex mutex_;
  std::condition_variable has_room_;
  std::condition_variable has_blocks_;
  std::deque<block> blocks_;
};

std::atomic<std::uint64_t> put_sum{0};
std::atomic<std::uint64_t> taken_sum{0};
std::atomic<std::uint64_t> kept_made{0};
std::atomic<std::uint64_t> kept_destroyed{0};
std::atomic<std::uint64_t> thrown{0};
std::atomic<std::uint64_t> caught{0};

/// What a thread keeps until it ends; its destructor allocates and frees.
struct keeper {
  std::vector<std::unique_ptr<std::string>> strings;

  ~keeper() {
    std::string all;
    for (const auto& string : strings) all += *string;
    kept_destroyed += all.size();
  }
};

thread_local keeper kept;
thread_local std::uint64_t own_number = 0;

void throw_deep(int depth, const std::string& text) {
  const std::vector<char> ballast(100 + static_cast<std::size_t>(depth) * 10, 'x');
  if (depth == 0) {
    ++thrown;
    throw std::runtime_error(text);
  }
  throw_deep(depth - 1, text + ballast[0]);
}

void catch_one(std::uint64_t number) {
  const std::string text = "of thread " + std::to_string(number);
  try {
    throw_deep(10, text);
  } catch (const std::runtime_error& error) {
    std::this_thread::yield();  // others throw and catch meanwhile
    if (error.what() != text + "xxxxxxxxxx") fail("the exception of another thread was caught");
    ++caught;
  }
}

void look_up() {
  addrinfo hints{};
  hints.ai_family = AF_INET;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo("localhost", "7", &hints, &found) != 0) fail("getaddrinfo");
  sockaddr_in address;
  std::memcpy(&address, found->ai_addr, sizeof address);
  freeaddrinfo(found);
  if (address.sin_addr.s_addr != htonl(INADDR_LOOPBACK)) fail("localhost is somewhere else");
}

/// One thread: `in` is filled by its neighbour, `out` is emptied by another.
void work(std::uint64_t number, queue& in, queue& out) {
  own_number = number;
  std::mt19937_64 random(number);
  std::vector<block> own;
  for (std::size_t i = 0; i < blocks_per_thread; ++i) {
    const std::size_t size = 1 + random() % (random() % 16 == 0 ? block_bytes_max : 500);
    block made(size, static_cast<unsigned char>(number + i));
    put_sum += made.sum();
    out.put(std::move(made));
    const block taken = in.take();
    taken_sum += taken.sum();
    if (i % 10 == 0) own.emplace_back(size, static_cast<unsigned char>(i));
    if (i % 20 == 0) own[random() % own.size()].grow(1 + random() % block_bytes_max);
    if (i % 30 == 0) {
      kept.strings.push_back(std::make_unique<std::string>(1 + random() % 300, 'k'));
      kept_made += kept.strings.back()->size();
      catch_one(number);
    }
    if (own_number != number) fail("the thread-local of another thread");
  }
  if (number % 64 < lookups_per_64) look_up();
}

void run_wave(std::uint64_t first, std::size_t count) {
  // A ring: each thread frees what the one before has allocated.
  std::vector<queue> queues(count);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < count; ++i) {
    threads.emplace_back(work, first + i, std::ref(queues[i]), std::ref(queues[(i + 1) % count]));
  }
  for (std::thread& thread : threads) thread.join();
}

std::uint64_t argument(int argc, char** argv, int index, std::uint64_t usual) {
  return argc > index ? std::strtoull(argv[index], nullptr, 10) : usual;
}

}  // namespace

int main(int argc, char** argv) {
  alarm(life_seconds_max);
  const std::uint64_t waves = argument(argc, argv, 1, 3);
  const std::uint64_t count = argument(argc, argv, 2, 200);
  for (std::uint64_t wave = 0; wave < waves; ++wave) run_wave(wave * count, count);
  if (put_sum != taken_sum) fail("what was allocated is not what was freed");
  if (kept_made == 0 || kept_made != kept_destroyed) fail("a thread-local was not destroyed");
  if (thrown != waves * count * 10 || thrown != caught) fail("an exception was lost");
  std::printf("%llu threads, sum %llu, kept %llu\n", static_cast<unsigned long long>(waves * count),
              static_cast<unsigned long long>(taken_sum.load()),
              static_cast<unsigned long long>(kept_destroyed.load()));
}
