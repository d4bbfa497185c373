// fork in programs with threads, and children that are waited for.
#include "network.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int counter;

static void* add_one(void* argument) {
  pthread_mutex_lock(&mutex);
  counter++;
  pthread_mutex_unlock(&mutex);
  sleep_ms(1);
  return argument;
}
static void use_threads(void) {
  pthread_t threads[8];
  int before = counter;
  for (int i = 0; i < 8; i++) threads[i] = start(add_one, NULL);
  for (int i = 0; i < 8; i++) join(threads[i]);
  CHECK(counter == before + 8);
  int pair[2];
  NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  struct pollfd one = {pair[0], POLLIN, 0};
  CHECK(poll(&one, 1, 2) == 0);
  NEED(write(pair[1], "x", 1));
  CHECK(poll(&one, 1, -1) == 1);
  close(pair[0]);
  close(pair[1]);
}
static void* fork_and_use(void* argument) {
  pthread_t self = pthread_self();
  pid_t child = (pid_t)NEED(fork());
  if (child == 0) {
    CHECK(pthread_equal(self, pthread_self()));
    CHECK(gettid() == getpid());
    use_threads();
    FINISH_CHILD();
  }
  CHECK(status_of(child) == 0);
  return argument;
}
PROMISE(fork_in_main, "A child of a process with threads can make threads and use sockets") {
  use_threads();
  fork_and_use(NULL);
  use_threads();
}
PROMISE(fork_in_a_thread, "A child forked by a thread can make threads and use sockets") {
  use_threads();
  join(start(fork_and_use, NULL));
  use_threads();
}
PROMISE(forks_at_once, "Eight threads fork at the same time, and all children are as good as new") {
  pthread_t threads[8];
  for (int i = 0; i < 8; i++) threads[i] = start(fork_and_use, NULL);
  for (int i = 0; i < 8; i++) join(threads[i]);
}
static int stop;
static void* allocate_on(void* argument) {
  while (!GET(stop)) free(malloc(rand() % 5000 + 1));
  return argument;
}
static void* sleep_on(void* argument) {
  while (!GET(stop)) sleep_ms(1);
  return argument;
}
PROMISE(fork_beside_work, "Twenty forks beside threads that allocate, sleep and compute") {
  pthread_t workers[4];
  for (int i = 0; i < 4; i++) workers[i] = start(i % 2 ? allocate_on : sleep_on, NULL);
  for (int i = 0; i < 20; i++) {
    pid_t child = (pid_t)NEED(fork());
    if (child == 0) {
      free(malloc(100000));
      if (i % 4 == 0) use_threads();
      FINISH_CHILD();
    }
    CHECK(status_of(child) == 0);
  }
  SET(stop, 1);
  for (int i = 0; i < 4; i++) join(workers[i]);
}
static void* fork_with_lock(void* argument) {
  pthread_mutex_lock(&mutex);
  pid_t child = (pid_t)NEED(fork());
  if (child == 0) {
    CHECK(pthread_mutex_trylock(&mutex) == EBUSY);
    CHECK(pthread_mutex_unlock(&mutex) == 0);
    use_threads();
    FINISH_CHILD();
  }
  pthread_mutex_unlock(&mutex);
  CHECK(status_of(child) == 0);
  return argument;
}
PROMISE(lock_over_fork, "A mutex that the forking thread holds is usable in the child") {
  join(start(fork_with_lock, NULL));
}
static int order[16], order_count;
static void note(int number) { order[order_count++] = number; }
static void prepare_one(void) { note(1); }
static void prepare_two(void) { note(2); }
static void parent_one(void) { note(3); }
static void parent_two(void) { note(4); }
static void child_one(void) { note(5); }
static void child_two(void) { note(6); }
static void* fork_noted(void* argument) {
  order_count = 0;
  pid_t child = (pid_t)NEED(fork());
  int own = child == 0 ? 5 : 3;
  CHECK(order_count == 4);
  CHECK(order[0] == 2 && order[1] == 1 && order[2] == own && order[3] == own + 1);
  if (child == 0) FINISH_CHILD();
  CHECK(status_of(child) == 0);
  return argument;
}
PROMISE(atfork, "pthread_atfork handlers run in their order, in main and in a thread") {
  CHECK(pthread_atfork(prepare_one, parent_one, child_one) == 0);
  CHECK(pthread_atfork(prepare_two, parent_two, child_two) == 0);
  fork_noted(NULL);
  join(start(fork_noted, NULL));
}
static __thread int local = 1;
static pthread_key_t key;
static void* fork_with_locals(void* argument) {
  local = 42;
  pthread_setspecific(key, &local);
  errno = 99;
  pid_t child = (pid_t)NEED(fork());
  if (child == 0) {
    CHECK(local == 42 && pthread_getspecific(key) == &local);
    FINISH_CHILD();
  }
  CHECK(status_of(child) == 0);
  return argument;
}
PROMISE(locals_over_fork, "The forking thread's variables and keys are there in the child") {
  pthread_key_create(&key, NULL);
  join(start(fork_with_locals, NULL));
}
static void* child_returns(void* argument) {
  pid_t child = (pid_t)NEED(fork());
  if (child == 0) return (void*)1;  // as the last thread of the child: it ends with 0
  CHECK(status_of(child) == 0);
  return argument;
}
PROMISE(child_thread_returns, "A child whose only thread returns from its function ends with 0") {
  CHECK(join_int(start(child_returns, NULL)) == 0);
}
PROMISE(generations, "A child of a child of a child makes threads") {
  for (int depth = 0; depth < 4; depth++) {
    use_threads();
    pid_t child = (pid_t)NEED(fork());
    if (child == 0) {
      if (depth == 3) FINISH_CHILD();
      continue;
    }
    int status = status_of(child);
    CHECK(status == 0);
    if (depth > 0) FINISH_CHILD();
    return;
  }
}
PROMISE(streams_over_fork, "Connections that a child inherits work in its threads") {
  int pair[2];
  tcp_pair(pair);
  pid_t child = (pid_t)NEED(fork());
  if (child == 0) {
    char text[4];
    use_threads();
    CHECK(read_all(pair[1], text, 4) == 4);
    write_all(pair[1], text, 4);
    FINISH_CHILD();
  }
  char text[4];
  write_all(pair[0], "echo", 4);
  CHECK(read_all(pair[0], text, 4) == 4 && memcmp(text, "echo", 4) == 0);
  CHECK(status_of(child) == 0);
}

// Waiting.
static void* wait_for_own_child(void* argument) {
  int code = (int)(intptr_t)argument;
  pid_t child = (pid_t)NEED(fork());
  if (child == 0) {
    sleep_ms(20 - code);
    _exit(code);
  }
  CHECK(status_of(child) == code);
  return NULL;
}
PROMISE(waiters, "Ten threads each wait for their own child and get its exit code") {
  pthread_t threads[10];
  for (int i = 0; i < 10; i++) threads[i] = start(wait_for_own_child, (void*)(intptr_t)i);
  for (int i = 0; i < 10; i++) join(threads[i]);
  CHECK(waitpid(-1, NULL, 0) == -1 && errno == ECHILD);
}
static void* wait_for_any(void* argument) {
  int status = 0;
  CHECK(wait(&status) > 0);
  CHECK(WIFEXITED(status));
  return (void*)(intptr_t)(WEXITSTATUS(status) + (argument != NULL));
}
PROMISE(wait_for_any_child, "Threads in wait share the children: each is reaped once") {
  pthread_t threads[5];
  int tube[2], sum = 0;
  NEED(pipe(tube));
  for (int i = 0; i < 5; i++) {
    if (NEED(fork()) != 0) continue;
    char byte;
    NEED(read(tube[0], &byte, 1));
    _exit(1 << i);
  }
  for (int i = 0; i < 5; i++) threads[i] = start(wait_for_any, NULL);
  settle();
  NEED(write(tube[1], "xxxxx", 5));
  for (int i = 0; i < 5; i++) sum += join_int(threads[i]);
  CHECK(sum == 31);
}
PROMISE(wait_options, "WNOHANG answers at once, WNOWAIT leaves the child, stops are told") {
  int tube[2];
  char byte;
  NEED(pipe(tube));
  pid_t child = (pid_t)NEED(fork());
  if (child == 0) {
    NEED(read(tube[0], &byte, 1));
    _exit(33);
  }
  int status = 0;
  CHECK(waitpid(child, &status, WNOHANG) == 0);
  kill(child, SIGSTOP);
  CHECK(waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status));
  kill(child, SIGCONT);
  CHECK(waitpid(child, &status, WCONTINUED) == child && WIFCONTINUED(status));
  NEED(write(tube[1], "x", 1));
  siginfo_t info;
  memset(&info, 0, sizeof info);
  CHECK(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT) == 0);
  CHECK(info.si_pid == child && info.si_status == 33 && info.si_code == CLD_EXITED);
  CHECK(status_of(child) == 33);
  CHECK(waitpid(child, &status, WNOHANG) == -1 && errno == ECHILD);
}
PROMISE(orphans, "A grandchild outlives its parent and still runs threads") {
  int tube[2];
  NEED(pipe(tube));
  pid_t child = (pid_t)NEED(fork());
  if (child == 0) {
    if (fork() == 0) {
      pid_t parent = getppid();
      for (int i = 0; i < 5000 && getppid() == parent && parent != 1; i++) sleep_ms(1);
      use_threads();
      NEED(write(tube[1], was_broken ? "b" : "k", 1));
      _exit(0);
    }
    _exit(7);
  }
  CHECK(status_of(child) == 7);
  char byte = 0;
  CHECK(read(tube[0], &byte, 1) == 1 && byte == 'k');
}
PROMISE(daemons, "daemon() and then threads and sockets") {
  int tube[2];
  NEED(pipe(tube));
  pid_t child = (pid_t)NEED(fork());
  if (child == 0) {
    NEED(daemon(0, 0));
    use_threads();
    NEED(write(tube[1], was_broken ? "b" : "k", 1));
    _exit(0);
  }
  CHECK(status_of(child) == 0);
  char byte = 0;
  CHECK(read(tube[0], &byte, 1) == 1 && byte == 'k');
}
