// Starting programs from threads: exec, vfork, posix_spawn, system, popen.
#include "check.h"

#include <spawn.h>

extern char** environ;
static int counted, stop;

static void* count_on(void* argument) {
  while (!GET(stop)) {
    ADD(counted, 1);
    sleep_ms(1);
  }
  return argument;
}

static void* vfork_true(void* argument) {
  for (int i = 0; i < 5; i++) {
    pid_t child = vfork();
    if (child == 0) {
      execl("/bin/sh", "sh", "-c", "exit 5", (char*)NULL);
      _exit(127);
    }
    NEED(child);
    CHECK(status_of(child) == 5);
  }
  return argument;
}
PROMISE(vforks, "vfork and exec in threads give the program's exit code") {
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) threads[i] = start(vfork_true, NULL);
  for (int i = 0; i < 4; i++) join(threads[i]);
}
static void* spawn_shell(void* argument) {
  char script[32];
  snprintf(script, sizeof script, "exit %d", (int)(intptr_t)argument);
  char* words[] = {(char*)"sh", (char*)"-c", script, NULL};
  pid_t child = 0;
  CHECK(posix_spawn(&child, "/bin/sh", NULL, NULL, words, environ) == 0);
  CHECK(status_of(child) == (intptr_t)argument);
  CHECK(posix_spawnp(&child, "no-such-program-anywhere", NULL, NULL, words, environ) == ENOENT);
  return NULL;
}
PROMISE(spawns, "posix_spawn in ten threads, and its error for a missing program") {
  pthread_t threads[10];
  for (int i = 0; i < 10; i++) threads[i] = start(spawn_shell, (void*)(intptr_t)(i + 1));
  for (int i = 0; i < 10; i++) join(threads[i]);
}
PROMISE(spawn_with_actions, "posix_spawn's file actions and attributes are obeyed") {
  int tube[2];
  NEED(pipe2(tube, O_CLOEXEC));
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, tube[1], 1);
  posix_spawnattr_init(&attributes);
  sigset_t defaults = set_of(SIGTERM), none;
  sigemptyset(&none);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  signal(SIGTERM, SIG_IGN);
  block(SIGTERM);
  char* words[] = {(char*)"sh", (char*)"-c", (char*)"echo out; kill -TERM $$; echo alive", NULL};
  pid_t child = 0;
  CHECK(posix_spawn(&child, "/bin/sh", &actions, &attributes, words, environ) == 0);
  close(tube[1]);
  CHECK(status_of(child) == -SIGTERM);
  char text[32] = "";
  CHECK(read(tube[0], text, sizeof text) == 4 && memcmp(text, "out\n", 4) == 0);
}
static void* run_system(void* argument) {
  int status = system("sleep 0.02; exit 3");
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 3);
  return argument;
}
PROMISE(systems, "system() in five threads, while others run") {
  pthread_t counter = start(count_on, NULL), threads[5];
  for (int i = 0; i < 5; i++) threads[i] = start(run_system, NULL);
  for (int i = 0; i < 5; i++) join(threads[i]);
  CHECK(GET(counted) > 0);
  SET(stop, 1);
  join(counter);
  CHECK(system(NULL) != 0);
  int killed = system("kill -KILL $$");
  CHECK(WIFSIGNALED(killed) && WTERMSIG(killed) == SIGKILL);
}
static void* run_popen(void* argument) {
  char command[64], line[64] = "";
  snprintf(command, sizeof command, "sleep 0.01; echo number %d; exit 4", (int)(intptr_t)argument);
  FILE* stream = popen(command, "r");
  CHECK(stream != NULL);
  CHECK(fgets(line, sizeof line, stream) != NULL);
  CHECK(atoi(line + 7) == (intptr_t)argument);
  CHECK(fgets(line, sizeof line, stream) == NULL);
  CHECK(WEXITSTATUS(pclose(stream)) == 4);
  return NULL;
}
PROMISE(popens, "popen, fgets and pclose in five threads") {
  pthread_t threads[5];
  for (int i = 0; i < 5; i++) threads[i] = start(run_popen, (void*)(intptr_t)(100 + i));
  for (int i = 0; i < 5; i++) join(threads[i]);
}
PROMISE(popen_to_write, "popen for writing gives the program its input") {
  FILE* stream = popen("cat; echo end", "w");
  CHECK(stream != NULL && fputs("through cat\n", stream) >= 0);
  CHECK(pclose(stream) == 0);
}

static void* exec_echo(void* argument) {
  execl("/bin/sh", "sh", "-c", "echo exec from a thread; echo $(($$ == PARENT_PID)); exit 6",
        (char*)NULL);
  return argument;
}
static void* block_for_ever(void* argument) {
  for (;;) pause();
  return argument;
}
PROMISE_ENDING(exec_from_a_thread, 6,
               "exec from a thread replaces the process, which keeps its number") {
  char number[16];
  snprintf(number, sizeof number, "%d", getpid());
  setenv("PARENT_PID", number, 1);
  start(block_for_ever, NULL);
  settle();
  join(start(exec_echo, NULL));
}
PROMISE_ENDING(exec_from_main, 6, "exec from main ends the other threads") {
  char number[16];
  snprintf(number, sizeof number, "%d", getpid());
  setenv("PARENT_PID", number, 1);
  start(block_for_ever, NULL);
  settle();
  exec_echo(NULL);
}
static void* exec_fails(void* argument) {
  char* words[] = {(char*)"x", NULL};
  CHECK(execv("/no/such/program", words) == -1 && errno == ENOENT);
  CHECK(execv("/etc/passwd", words) == -1 && errno == EACCES);
  return argument;
}
PROMISE(failed_exec, "After a failed exec the thread and the others go on") {
  pthread_t counter = start(count_on, NULL);
  join(start(exec_fails, NULL));
  int before = GET(counted);
  AWAIT(GET(counted) > before);
  SET(stop, 1);
  join(counter);
}
PROMISE(inherited_state,
        "A program that is started sees no more descriptors, and the usual signals") {
  fflush(stdout);
  pthread_t counter = start(count_on, NULL);
  CHECK(system("for fd in 3 4 5 6 7 8 9; do [ -e /proc/self/fd/$fd ] && echo open $fd; done;"
               "grep -E '^Sig(Blk|Ign)' /proc/self/status") == 0);
  SET(stop, 1);
  join(counter);
}
