#!/bin/sh
# The hooks are usable before their constructors have run and from inside malloc.
#   early_test.sh LAUNCHER ALLOCATOR_LIBRARY
. "${0%/*}/support.sh"
export LD_PRELOAD="$2"
timeout "$patience_seconds" sh -c 'echo works' > "$work/plain"
grep -qx works "$work/plain" || fail "the allocator does not work without the hooks"
timeout "$patience_seconds" "$coir" run -- sh -c 'echo works | cat; exit 6' \
  > "$work/hooked" || status=$?
[ "${status:-0}" = 6 ] || fail "exit status ${status:-0}"
grep -qx works "$work/hooked" || fail "the program did not do its work"
timeout "$patience_seconds" "$coir" run -- cat /proc/self/maps > "$work/maps"
for library in libcoir_preload.so "${2##*/}"; do
  grep -q "$library" "$work/maps" || fail "$library is not in the process"
done
