#include "world.hpp"

#include "board.hpp"
#include "times.hpp"

namespace stress {

guarded::guarded(int mutex_type) : type(mutex_type) {
  pthread_mutexattr_t attributes;
  ::pthread_mutexattr_init(&attributes);
  ::pthread_mutexattr_settype(&attributes, mutex_type);
  STRESS_CHECK(::pthread_mutex_init(&lock, &attributes) == 0);
  ::pthread_mutexattr_destroy(&attributes);
}
guarded::~guarded() { ::pthread_mutex_destroy(&lock); }

guarded_by_readers::guarded_by_readers() {
  STRESS_CHECK(::pthread_rwlock_init(&lock, nullptr) == 0);
}
guarded_by_readers::~guarded_by_readers() { ::pthread_rwlock_destroy(&lock); }

permits::permits(int how_many) : count(how_many) {
  STRESS_CHECK(::sem_init(&free, 0, static_cast<unsigned>(how_many)) == 0);
}
permits::~permits() { ::sem_destroy(&free); }

// --- the queue -----------------------------------------------------------------------------------

bounded_queue::bounded_queue(std::size_t length, making how, int consumers, int number)
    : length_(length) {
  for (int i = 0; i < consumers; ++i)
    consumers_.push_back(start(how, "consumer", number * 10 + i, [this] { consume(); }));
}

void bounded_queue::put(std::uint64_t number) {
  ::pthread_mutex_lock(&lock_);
  while (numbers_.size() == length_) ::pthread_cond_wait(&has_room_, &lock_);
  numbers_.push_back(number);
  ::pthread_cond_signal(&has_some_);
  ::pthread_mutex_unlock(&lock_);
  sum_put_.fetch_add(number);
}

void bounded_queue::consume() {
  for (;;) {
    doing("waits for the queue");
    ::pthread_mutex_lock(&lock_);
    while (numbers_.empty() && !is_closed_) ::pthread_cond_wait(&has_some_, &lock_);
    if (numbers_.empty()) break;
    const std::uint64_t number = numbers_.front();
    numbers_.pop_front();
    ::pthread_mutex_unlock(&lock_);
    ::pthread_cond_signal(&has_room_);
    sum_taken_.fetch_add(number);
    check_identity();
  }
  ::pthread_mutex_unlock(&lock_);
}

void bounded_queue::finish_and_check() {
  ::pthread_mutex_lock(&lock_);
  is_closed_ = true;
  ::pthread_mutex_unlock(&lock_);
  ::pthread_cond_broadcast(&has_some_);
  for (started& consumer : consumers_) finish_well(consumer);
  STRESS_CHECK(numbers_.empty());
  STRESS_CHECK(sum_put_.load() == sum_taken_.load());
}

// --- questions and answers -----------------------------------------------------------------------

namespace {

constexpr std::uint64_t last_question = 0;

std::uint64_t answer_to(std::uint64_t number) { return number * 3 + 1; }

}  // namespace

answerer::answerer(random_numbers& random, making how, int number)
    : questions_(make_lane(random, false)), answers_(make_lane(random, true)) {
  thread_ = start(how, "answerer", number, [this] { serve(); });
}

void answerer::serve() {
  for (;;) {
    doing("waits for a question", answered_);
    const std::uint64_t number = questions_->take();
    if (number == last_question) return;
    ++answered_;
    doing("answers", answered_);
    answers_->put(answer_to(number));
    check_identity();
  }
}

void answerer::ask(std::uint64_t number) {
  ::pthread_mutex_lock(&turn_);
  doing("asks", ++asked_);
  questions_->put(number);
  doing("awaits the answer", asked_);
  STRESS_CHECK(answers_->take() == answer_to(number));
  ::pthread_mutex_unlock(&turn_);
}

void answerer::finish_and_check() {
  questions_->put(last_question);
  finish_well(thread_);
  STRESS_CHECK(asked_ == answered_);
}

// --- all of it -----------------------------------------------------------------------------------

world::world(random_numbers& random) {
  const int types[] = {PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_ERRORCHECK,
                       PTHREAD_MUTEX_ADAPTIVE_NP, PTHREAD_MUTEX_NORMAL};
  for (const int type : types) locks.push_back(std::make_unique<guarded>(type));
  for (int i = 0; i < 2; ++i) tables.push_back(std::make_unique<guarded_by_readers>());
  for (int i = 0; i < 2; ++i) gates.push_back(std::make_unique<permits>(random.between(1, 4)));
  for (int i = 0; i < 2; ++i)
    queues.push_back(std::make_unique<bounded_queue>(static_cast<std::size_t>(random.between(1, 8)),
                                                     some_making(random), random.between(1, 3), i));
  const int count = random.between(6, 14);
  for (int i = 0; i < count; ++i)
    answerers.push_back(std::make_unique<answerer>(random, some_making(random), i));
}

void world::finish_and_check() {
  doing("ends the consumers");
  for (auto& queue : queues) queue->finish_and_check();
  doing("ends the answerers");
  for (auto& one : answerers) one->finish_and_check();
  for (auto& lock : locks) {
    STRESS_CHECK(lock->first == lock->entries.load() && lock->second == lock->first);
    STRESS_CHECK(::pthread_mutex_trylock(&lock->lock) == 0);
    STRESS_CHECK(::pthread_mutex_unlock(&lock->lock) == 0);
  }
  for (auto& table : tables) {
    STRESS_CHECK(table->first == table->entries.load() && table->second == table->first);
    STRESS_CHECK(::pthread_rwlock_trywrlock(&table->lock) == 0);
    STRESS_CHECK(::pthread_rwlock_unlock(&table->lock) == 0);
  }
  for (auto& gate : gates) {
    int value = -1;
    STRESS_CHECK(::sem_getvalue(&gate->free, &value) == 0 && value == gate->count);
    STRESS_CHECK(gate->inside.load() == 0);
  }
  doing("awaits the detached threads");
  while (detached.load() != 0) nap(200'000);
  doing("awaits the last destructors of detached threads");
  while (threads_started() != threads_ended()) nap(200'000);
}

}  // namespace stress
