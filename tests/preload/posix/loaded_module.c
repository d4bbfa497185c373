// What dynamic_library loads: variables of each thread, in two TLS models, and a constructor.
#include <pthread.h>

__thread int module_general = 11;
__attribute__((tls_model("initial-exec"))) __thread int module_initial = 22;
static __thread unsigned char module_room[256] = "module";
static int constructed;

__attribute__((constructor)) static void construct(void) { constructed++; }

int module_value(int change);
int module_value(int change) {
  module_general += change;
  module_initial += change;
  module_room[0] = (unsigned char)(module_room[0] + change);
  return module_general * 100 + module_initial + (module_room[0] - 'm') + constructed * 100000;
}
