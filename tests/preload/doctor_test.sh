#!/bin/sh
# What `coir doctor` says about real programs, and that `coir run` refuses what it refuses.
#   doctor_test.sh LAUNCHER STATIC_PROGRAM STATIC_PIE_PROGRAM ASAN_PROGRAM TSAN_PROGRAM
. "${0%/*}/support.sh"
static_program=$2 static_pie_program=$3 asan_program=$4 tsan_program=$5
need python3 objcopy
chmod 755 "$work"
ulimit -n 1024
unset LD_PRELOAD COIR_MODE

# expect STATUS PATTERN ARGUMENTS...: of `coir doctor`; its output, as one line, has PATTERN.
expect() {
  wanted=$1 pattern=$2
  shift 2
  status=0
  timeout "$patience_seconds" "$coir" doctor "$@" > "$work/output" 2>&1 || status=$?
  tr -s ' \n' '  ' < "$work/output" > "$work/line"
  [ "$status" = "$wanted" ] || {
    cat "$work/output" >&2
    fail "coir doctor $*: status $status, not $wanted"
  }
  grep -q -e "$pattern" "$work/line" || {
    cat "$work/output" >&2
    fail "coir doctor $*: no \"$pattern\""
  }
  echo "doctor $*: $status"
}

# refused PATTERN PROGRAM: by both, with the same status; and not with --mode=off.
refused() {
  expect 126 "refused no .*$1" "$2"
  status=0
  timeout "$patience_seconds" "$coir" run -- "$2" > "$work/run" 2>&1 || status=$?
  [ "$status" = 126 ] || fail "coir run -- $2: status $status, but doctor refuses it"
  [ "$(sed 's/^coir run: //' "$work/run")" = \
    "$(sed -n 's/.*refused no \(.*[^ ]\) *$/\1/p' "$work/line")" ] ||
    fail "coir run gives another reason than doctor: $(cat "$work/run")"
}
accepted_off() { expect 0 'off: nothing is preloaded' --mode=off "$1"; }

# patched FROM TO OLD NEW: a copy of the program FROM in which the text OLD is replaced by NEW,
# which is not longer.
patched() {
  python3 -c '
import sys
source, target, old, new = sys.argv[1:]
data = open(source, "rb").read()
assert old.encode() in data and len(new) <= len(old)
open(target, "wb").write(data.replace(old.encode(), new.encode().ljust(len(old), b"\0")))
' "$@"
  chmod +x "$2"
}

expect 2 'one program must be named'
expect 2 'one program must be named' true false
expect 2 'must be fiber, thread or off' --mode=other true
expect 127 'there is no such program' no-such-program-anywhere
expect 127 'there is no such program' /no/such/program

# Programs that work.
expect 0 'libc ok glibc 2\.\|libc note glibc 2\.' /bin/true
expect 0 'libraries ok [1-9][0-9]*, all found' /bin/true
expect 0 "allocator ok libc's" -- /bin/true
expect 0 'environment ok nothing else is preloaded' true
expect 0 'verdict: fit for coir run' true
expect 0 'mode note thread' --mode=thread true
expect 0 'hooked ok .*any descriptor [1-9].*time [1-9]' bash
expect 0 'will be only its first' bash
[ "$(awk '{ if (length($0) > 80) wide = 1 } END { print wide + 0 }' "$work/output")" = 0 ] ||
  fail "the report is wider than a screen"
python=$(python3 -c 'import os, sys; print(os.path.realpath(sys.executable))')
expect 1 'threads ok made by pthread_create .*any descriptor [1-9]' "$python"
expect 1 'not hooked remark may block a kernel thread: [a-z]' "$python"
expect 1 'not seen note libraries that it opens later' "$python"
if command -v redis-server > /dev/null; then
  redis=$(readlink -f "$(command -v redis-server)")
  expect 1 'allocator ok jemalloc (libjemalloc' "$redis"
fi

# Scripts are judged by what runs them.
printf '#! /bin/sh\necho script\n' > "$work/script"
printf '#!/usr/bin/env bash\n' > "$work/env-script"
printf '#!/usr/bin/env -S bash -eu\n' > "$work/split-script"
printf '#!%s\n' "$work/script" > "$work/twice"
printf '#!%s\n' "$work/round" > "$work/round"
printf '#!/no/such/interpreter\n' > "$work/orphan"
printf 'neither\n' > "$work/text"
chmod +x "$work"/*
expect 0 "script note $work/script program ok /bin/sh," "$work/script"
expect 0 'program ok [^ ]*/bash,' "$work/env-script"
expect 0 'program ok [^ ]*/bash,' "$work/split-script"
expect 0 "script note $work/twice script note $work/script program ok /bin/sh," "$work/twice"
refused 'never end in a program' "$work/round"
refused 'does not exist' "$work/orphan"
refused 'neither an ELF program nor a script' "$work/text"
refused 'not an executable file' /etc/passwd

# What no library can be preloaded into.
refused 'statically linked:' "$static_program"
refused 'statically linked (static-pie)' "$static_pie_program"
refused 'address sanitizer' "$asan_program"
patched /bin/true "$work/musl" /lib64/ld-linux-x86-64.so.2 /lib/ld-musl-x86_64.so.1
refused 'musl' "$work/musl"
printf '#!%s\n' "$static_program" > "$work/static-script"
chmod +x "$work/static-script"
refused 'statically linked' "$work/static-script"
for program in "$static_program" "$asan_program" "$work/static-script"; do
  accepted_off "$program"
done

# What cannot have fibers for threads, but can be preloaded.
echo 'build id' > "$work/note"
for section in .note.go.buildid .go.buildinfo; do
  objcopy --add-section "$section=$work/note" /bin/true "$work/go$section"
  refused 'is a Go program.*--mode=thread or --mode=off' "$work/go$section"
  expect 0 'verdict: fit' --mode=thread "$work/go$section"
  timeout "$patience_seconds" "$coir" run --mode=thread -- "$work/go$section"
  accepted_off "$work/go$section"
done
refused 'thread sanitizer.*--mode=thread' "$tsan_program"
expect 126 'statically linked, by Go' "$(
  objcopy --add-section ".go.buildinfo=$work/note" "$static_program" "$work/static-go"
  echo "$work/static-go")"

# Files that are damaged or foreign.
printf '\177ELF' > "$work/stump"
{ head -c 18 /bin/true; printf '\363\000'; tail -c +21 /bin/true; } > "$work/foreign"
{ head -c 4 /bin/true; printf '\001'; tail -c +6 /bin/true; } > "$work/narrow"
head -c 100 /bin/true > "$work/no-segments"
head -c 4096 /bin/true > "$work/first-page"
chmod +x "$work"/*
refused 'not a whole ELF file' "$work/stump"
refused 'another machine' "$work/foreign"
refused 'another machine' "$work/narrow"
refused 'program headers are cut off' "$work/no-segments"
expect 1 'libraries remark' "$work/first-page"

# What the dynamic linker does not find, and linkers that are not asked, or do not answer.
patched /bin/true "$work/lonely" libc.so.6 libq.so.6
expect 1 'libraries remark it will not start: .*error.*libq.so.6' "$work/lonely"
patched /bin/true "$work/other-linker" /lib64/ld-linux-x86-64.so.2 "/bin/false"
expect 1 "libraries remark /bin/false is not glibc's dynamic linker" "$work/other-linker"
printf '#!/bin/sh\nexec sleep 60\n' > "$work/ld-linux-hang"
chmod +x "$work/ld-linux-hang"
patched /bin/true "$work/hanging" /lib64/ld-linux-x86-64.so.2 ./ld-linux-hang
(cd "$work" && expect 1 'libraries remark ./ld-linux-hang did not answer in time' "$work/hanging")

# Surroundings.
LD_PRELOAD=libm.so.6 expect 1 'LD_PRELOAD has others too.*: libm.so.6' true
COIR_WORKERS=two expect 1 'environment remark COIR_WORKERS is two' true
COIR_MODE=off expect 0 'off: nothing is preloaded' "$static_program"
COIR_MODE=other expect 2 'COIR_MODE is other' true
(ulimit -n 100; expect 1 'machine remark RLIMIT_NOFILE 100' true)
mkdir "$work/bin"
cp "$coir" "$work/bin/coir"
(coir=$work/bin/coir; expect 1 'libcoir_preload.so is not in ../lib' true)

# Privileges. Root gains none by capabilities.
if [ "$(id -u)" = 0 ] && command -v setpriv > /dev/null; then
  for kind in setuid setgid capable; do
    cp /bin/true "$work/$kind"
  done
  chown nobody:nogroup "$work/setuid"
  chown nobody:nogroup "$work/setgid"
  chmod u+s "$work/setuid"
  chmod g+s "$work/setgid"
  refused 'setuid, setgid' "$work/setuid"
  refused 'setuid, setgid' "$work/setgid"
  accepted_off "$work/setuid"
  if python3 -c '
import os, struct, sys
os.setxattr(sys.argv[1], "security.capability", struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0))
' "$work/capable" 2> /dev/null; then
    expect 0 'verdict: fit' "$work/capable"
    status=0
    setpriv --reuid=65534 --regid=65534 --clear-groups \
      "$work/bin/coir" doctor "$work/capable" > "$work/output" 2>&1 || status=$?
    [ "$status" = 126 ] || fail "capabilities: status $status"
    grep -q 'capabilities' "$work/output" || fail "capabilities are not named as the reason"
  fi
  chmod 711 "$work/capable"
  status=0
  setpriv --reuid=65534 --regid=65534 --clear-groups \
    "$work/bin/coir" doctor "$work/capable" > "$work/output" 2>&1 || status=$?
  [ "$status" = 1 ] || fail "a program that cannot be read: status $status"
  grep -q 'not read' "$work/output" || fail "a program that cannot be read is not reported"
fi
echo "all as it should be"
