// Libraries with variables of each thread that are loaded while threads run.
// The library is the file named like this program with "_module.so" in the same folder.
#include "check.h"

#include <dlfcn.h>

static char path[4096];
static int ready, loaded, used;
static int (*module_value)(int);

static void* load(void) {
  ssize_t bytes = readlink("/proc/self/exe", path, sizeof path - 20);
  NEED(bytes);
  strcpy(path + bytes, "_module.so");
  void* library = dlopen(path, RTLD_NOW);
  if (library == NULL) printf("  %s\n", dlerror());
  NEED(library == NULL ? -1 : 0);
  void* address = dlsym(library, "module_value");
  memcpy(&module_value, &address, sizeof address);
  return library;
}
static void use(int own) {
  // 11 and 22 and the letter, each moved by what this thread has added.
  CHECK(module_value(0) == 100000 + 1122);
  for (int i = 1; i <= 5; i++) {
    CHECK(module_value(own) == 100000 + 1122 + i * own * 102);
    sched_yield();
    sleep_ms(1);
  }
}
static void* wait_and_use(void* argument) {
  ADD(ready, 1);
  while (!GET(loaded)) sleep_ms(1);
  use((int)(intptr_t)argument);
  ADD(used, 1);
  return NULL;
}
static void* load_here(void* argument) {
  load();
  use((int)(intptr_t)argument);
  SET(loaded, 1);
  return NULL;
}
PROMISE(loaded_by_main, "Threads that ran before dlopen see the library's fresh variables") {
  pthread_t threads[6];
  for (int i = 0; i < 6; i++) threads[i] = start(wait_and_use, (void*)(intptr_t)i);
  AWAIT(GET(ready) == 6);
  load();
  SET(loaded, 1);
  for (int i = 0; i < 6; i++) join(threads[i]);
  use(1);
}
PROMISE(loaded_by_a_thread, "A library that one thread loads is usable in the others and in main") {
  pthread_t threads[6];
  for (int i = 0; i < 6; i++) threads[i] = start(wait_and_use, (void*)(intptr_t)i);
  AWAIT(GET(ready) == 6);
  join(start(load_here, (void*)2));
  for (int i = 0; i < 6; i++) join(threads[i]);
  use(1);
  pthread_t later = start(wait_and_use, (void*)3);
  join(later);
}
static void* load_and_unload(void* argument) {
  for (int i = 0; i < 20; i++) {
    void* library = dlopen("libm.so.6", RTLD_NOW);
    CHECK(library != NULL && dlsym(library, "cos") != NULL);
    CHECK(dlsym(library, "no_such_symbol") == NULL && dlerror() != NULL);
    CHECK(dlclose(library) == 0);
  }
  return argument;
}
PROMISE(loaded_at_once, "Eight threads load and unload libraries at the same time") {
  pthread_t threads[8];
  for (int i = 0; i < 8; i++) threads[i] = start(load_and_unload, NULL);
  for (int i = 0; i < 8; i++) join(threads[i]);
}
