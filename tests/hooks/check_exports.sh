#!/bin/sh
# Holds the list of hooks in its four places against one another, and the runtime against the list:
#   check_exports.sh exports.map hooks.md libcoir.so libcoir_hooks.so libcoir_preload.so
set -eu
map=$1 table=$2 runtime=$3 hooks=$4 preload=$5
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The C names of the version script, between "global:" and the C++ names, comments aside.
sed -n '/global:/,/extern "C++"/p' "$map" | sed 's|/\*.*\*/||' | grep -o '[a-z_0-9]*;' | tr -d ';' |
  sort -u > "$work/map"
# The names in the first column of the table.
sed -n '/hooks table: begin/,/hooks table: end/p' "$table" | awk -F'|' 'NR > 3 { print $2 }' |
  grep -o '`[a-z_0-9]*`' | tr -d '`' | sort > "$work/table"
# What the libraries define, C++ names aside.
names_of() { nm -D "$@" | awk '{ sub(/@.*/, "", $NF); print $NF }' | sort -u; }
names_of --defined-only "$hooks" > "$work/hooks.all"
names_of --defined-only "$preload" > "$work/preload.all"
for library in hooks preload; do
  grep -v '^_ZN4coir5hooks' "$work/$library.all" > "$work/$library" || true
done
names_of --undefined-only "$runtime" > "$work/runtime"

status=0
compare() {
  if ! diff "$work/map" "$work/$1" > "$work/difference"; then
    echo "$2 (< exports.map only, > there only):"
    cat "$work/difference"
    status=1
  fi
}
[ -s "$work/map" ] || { echo "no names found in $map"; exit 1; }
compare table "the table in $table differs from exports.map"
compare hooks "$hooks exports other names than exports.map"
compare preload "$preload exports other names than exports.map"
if ! grep -q '^_ZN4coir5hooks6activeEv$' "$work/hooks.all"; then
  echo "$hooks does not export coir::hooks::active()"
  status=1
fi
# The lock inside std::stop_token yields; nothing of the runtime's is held then.
if comm -12 "$work/map" "$work/runtime" | grep -vx sched_yield; then
  echo "the runtime calls these hooked functions; it must make raw system calls instead"
  status=1
fi
[ "$status" -eq 0 ] && echo "$(wc -l < "$work/map") hooks, the same everywhere"
exit "$status"
