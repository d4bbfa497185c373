#!/bin/sh
# Holds the lists of hooks against the libraries that were built, and the runtime against the lists.
# (hooks/table.py holds the lists against the sources and docs/hooks.md.)
#   check_exports.sh exports.map preload.map hooks.md libcoir.so libcoir_hooks.so libcoir_preload.so
# preload.map, which need not be there, has what libcoir_preload.so exports besides exports.map.
set -eu
exports=$1 preload_map=$2 table=$3 runtime=$4 hooks=$5 preload=$6
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The C names of version scripts, from "global:" to the C++ names or the local ones, comments aside,
# and without coir's own, which are no hooks.
names_in() {
  sed 's|/\*.*\*/||' "$@" | sed -n '/global:/,/extern "C++"\|local:/p' | grep -o '[A-Za-z_0-9]*;' |
    tr -d ';' | grep -v '^coir_' | sort -u
}
names_in "$exports" > "$work/linked"
cp "$work/linked" "$work/preloaded"
if [ -e "$preload_map" ]; then
  { names_in "$exports"; names_in "$preload_map"; } | sort -u > "$work/preloaded"
fi
# The names in the first column of the table.
sed -n '/hooks table: begin/,/hooks table: end/p' "$table" | awk -F'|' 'NR > 3 { print $2 }' |
  grep -o '`[A-Za-z_0-9]*`' | tr -d '`' | sort > "$work/table"
# What the libraries define, C++ names aside.
names_of() { nm -D "$@" | awk '{ sub(/@.*/, "", $NF); print $NF }' | sort -u; }
names_of --defined-only "$hooks" > "$work/hooks.all"
names_of --defined-only "$preload" > "$work/preload.all"
for library in hooks preload; do
  grep -v '^_ZN4coir5hooks\|^coir_thread_host_v1$' "$work/$library.all" > "$work/$library" || true
done
names_of --undefined-only "$runtime" > "$work/runtime"

status=0
compare() {
  if ! diff "$work/$1" "$work/$2" > "$work/difference"; then
    echo "$3 (< the maps only, > there only):"
    cat "$work/difference"
    status=1
  fi
}
[ -s "$work/linked" ] || { echo "no names found in $exports"; exit 1; }
compare preloaded table "the table in $table has other names than the maps"
compare linked hooks "$hooks exports other names than $exports"
compare preloaded preload "$preload exports other names than the maps"
if ! grep -q '^_ZN4coir5hooks6activeEv$' "$work/hooks.all"; then
  echo "$hooks does not export coir::hooks::active()"
  status=1
fi
# By this name a program's own coir finds the threads that are fibers; it must not change.
if ! grep -q '^coir_thread_host_v1$' "$work/preload.all"; then
  echo "$preload does not export coir_thread_host_v1"
  status=1
fi
# The lock inside std::stop_token yields; nothing of the runtime's is held then.
if comm -12 "$work/linked" "$work/runtime" | grep -vx sched_yield; then
  echo "the runtime calls these hooked functions; it must make raw system calls instead"
  status=1
fi
[ "$status" -eq 0 ] && echo "$(wc -l < "$work/preloaded") hooks, the same everywhere"
exit "$status"
