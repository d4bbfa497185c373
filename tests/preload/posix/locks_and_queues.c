// Locks of files and System V queues and semaphores: one thread blocks in them, the others run.
#include "check.h"

#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>

static char name[128];
static int counted, stop, got_lock;

static void* count_on(void* argument) {
  while (!GET(stop)) {
    ADD(counted, 1);
    sleep_ms(1);
  }
  return argument;
}
static void others_ran(pthread_t counter, int before) {
  AWAIT(GET(counted) >= before + 3);
  (void)counter;
}

static void* take_flock(void* argument) {
  int fd = (int)NEED(open(name, O_RDWR));
  CHECK(flock(fd, LOCK_EX) == 0);
  SET(got_lock, 1);
  CHECK(flock(fd, LOCK_UN) == 0);
  close(fd);
  return argument;
}
PROMISE(flock_blocks_one, "A thread blocked in flock does not stop the others, and gets the lock") {
  int fd = (int)NEED(open(fresh_name("file", name, sizeof name), O_CREAT | O_RDWR, 0600));
  CHECK(flock(fd, LOCK_EX) == 0);
  pthread_t blocked = start(take_flock, NULL), counter = start(count_on, NULL);
  settle();
  others_ran(counter, GET(counted));
  CHECK(!GET(got_lock));
  int other = (int)NEED(open(name, O_RDWR));
  CHECK(flock(other, LOCK_EX | LOCK_NB) == -1 && errno == EWOULDBLOCK);
  CHECK(flock(fd, LOCK_UN) == 0);
  join(blocked);
  SET(stop, 1);
  join(counter);
}

static int setlk(int fd, int command, short type) {
  struct flock whole = {.l_type = type, .l_whence = SEEK_SET};
  return fcntl(fd, command, &whole);
}
static void* take_record_lock(void* argument) {
  int fd = *(int*)argument;
  CHECK(setlk(fd, F_SETLKW, F_WRLCK) == 0);
  SET(got_lock, 1);
  return NULL;
}
PROMISE(record_lock_blocks_one, "A thread blocked in fcntl(F_SETLKW) does not stop the others") {
  int fd = (int)NEED(open(fresh_name("file", name, sizeof name), O_CREAT | O_RDWR, 0600));
  int go[2], has[2];
  char byte;
  NEED(pipe(go));
  NEED(pipe(has));
  pid_t child = (pid_t)NEED(fork());
  if (child == 0) {
    NEED(setlk(fd, F_SETLK, F_WRLCK));
    NEED(write(has[1], "x", 1));
    NEED(read(go[0], &byte, 1));
    FINISH_CHILD();
  }
  NEED(read(has[0], &byte, 1));
  CHECK(setlk(fd, F_SETLK, F_WRLCK) == -1 && errno == EAGAIN);
  pthread_t blocked = start(take_record_lock, &fd), counter = start(count_on, NULL);
  settle();
  others_ran(counter, GET(counted));
  CHECK(!GET(got_lock));
  NEED(write(go[1], "x", 1));
  join(blocked);
  CHECK(got_lock && status_of(child) == 0);
  SET(stop, 1);
  join(counter);
}
static void* take_own_record_lock(void* argument) {
  int fd = (int)NEED(open(name, O_RDWR));
  for (int i = 0; i < 20; i++) {
    CHECK(setlk(fd, F_OFD_SETLKW, F_WRLCK) == 0);
    int before = counted;
    sched_yield();
    if (i % 5 == 0) sleep_ms(1);
    counted = before + 1;
    CHECK(setlk(fd, F_OFD_SETLK, F_UNLCK) == 0);
  }
  return argument;
}
PROMISE(open_file_locks, "Locks of open files exclude the threads of one process") {
  close((int)NEED(open(fresh_name("file", name, sizeof name), O_CREAT | O_RDWR, 0600)));
  pthread_t threads[6];
  for (int i = 0; i < 6; i++) threads[i] = start(take_own_record_lock, NULL);
  for (int i = 0; i < 6; i++) join(threads[i]);
  CHECK(counted == 120);
}
static void* lockf_twice(void* argument) {
  int fd = (int)NEED(open(name, O_RDWR));
  CHECK(lockf(fd, F_LOCK, 0) == 0);  // of the process: no wait between its threads
  return argument;
}
PROMISE(process_locks, "Record locks belong to the process, so threads do not exclude each other") {
  int fd = (int)NEED(open(fresh_name("file", name, sizeof name), O_CREAT | O_RDWR, 0600));
  CHECK(lockf(fd, F_LOCK, 0) == 0);
  join(start(lockf_twice, NULL));
}

struct message {
  long type;
  int number;
};
static int queue;
static void* receive_messages(void* argument) {
  int sum = 0;
  for (int i = 0; i < 50; i++) {
    struct message message;
    CHECK(msgrcv(queue, &message, sizeof message.number, (intptr_t)argument, 0) == 4);
    sum += message.number;
  }
  return (void*)(intptr_t)sum;
}
PROMISE(message_queues, "Threads blocked in msgrcv get the messages of their type, in order") {
  queue = (int)NEED(msgget(IPC_PRIVATE, 0600));
  pthread_t one = start(receive_messages, (void*)1), two = start(receive_messages, (void*)2);
  settle();
  for (int i = 0; i < 100; i++) {
    struct message message = {i % 2 + 1, i};
    NEED(msgsnd(queue, &message, sizeof message.number, 0));
  }
  CHECK(join_int(one) == 2450);
  CHECK(join_int(two) == 2500);
  struct message message;
  CHECK(msgrcv(queue, &message, 4, 0, IPC_NOWAIT) == -1 && errno == ENOMSG);
  NEED(msgctl(queue, IPC_RMID, NULL));
}
static void* receive_removed(void* argument) {
  struct message message;
  SET(counted, 1);
  CHECK(msgrcv(queue, &message, 4, 0, 0) == -1 && errno == EIDRM);
  return argument;
}
PROMISE(removed_queue, "Removing a queue wakes its waiters with EIDRM") {
  queue = (int)NEED(msgget(IPC_PRIVATE, 0600));
  pthread_t thread = start(receive_removed, NULL);
  AWAIT(GET(counted));
  sleep_ms(4 * settle_ms);
  NEED(msgctl(queue, IPC_RMID, NULL));
  join(thread);
}
static int set_of_semaphores;
static void* semaphore_down(void* argument) {
  struct sembuf down = {0, -1, 0};
  CHECK(semop(set_of_semaphores, &down, 1) == 0);
  ADD(got_lock, 1);
  return argument;
}
PROMISE(system_v_semaphores, "Threads blocked in semop go on as the semaphore is raised") {
  set_of_semaphores = (int)NEED(semget(IPC_PRIVATE, 1, 0600));
  pthread_t threads[5];
  for (int i = 0; i < 5; i++) threads[i] = start(semaphore_down, NULL);
  pthread_t counter = start(count_on, NULL);
  settle();
  others_ran(counter, GET(counted));
  for (int i = 1; i <= 5; i++) {
    struct sembuf up = {0, 1, 0};
    CHECK(semop(set_of_semaphores, &up, 1) == 0);
    AWAIT(GET(got_lock) == i);
  }
  for (int i = 0; i < 5; i++) join(threads[i]);
  SET(stop, 1);
  join(counter);
  struct sembuf down = {0, -1, IPC_NOWAIT};
  CHECK(semop(set_of_semaphores, &down, 1) == -1 && errno == EAGAIN);
  NEED(semctl(set_of_semaphores, 0, IPC_RMID));
}
