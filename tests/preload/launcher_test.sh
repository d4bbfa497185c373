#!/bin/sh
# What the launcher itself promises.
#   launcher_test.sh LAUNCHER STATIC_PROGRAM
. "${0%/*}/support.sh"
static_program=$2

# expect STATUS PATTERN ARGUMENTS...: the exit status, and something in the output unless empty.
expect() {
  wanted=$1 pattern=$2
  shift 2
  status=0
  "$coir" "$@" > "$work/output" 2>&1 || status=$?
  cat "$work/output"
  [ "$status" = "$wanted" ] || fail "coir $*: status $status, not $wanted"
  [ -z "$pattern" ] || grep -q -e "$pattern" "$work/output" || fail "coir $*: no \"$pattern\""
}

expect 0 '^coir [0-9]' --version
expect 2 subcommand
expect 2 'no program' run
expect 2 'no program' run --
expect 2 'not in' run --backend=other -- true

# The program's own exit status, arguments and signals.
expect 0 '' run -- true
expect 1 '' run -- false
expect 42 '' run -- sh -c 'exit 42'
expect 143 '' run -- sh -c 'kill -TERM $$'
join='IFS="|"; echo "$*"'
expect 0 '^--version|-x|two words|--$' run -- sh -c "$join" name --version -x 'two words' --
expect 0 '^--$' run echo --

# The environment that it starts.
expect 0 '^epoll$' run --backend=epoll -- sh -c 'echo $COIR_BACKEND'
expect 0 'libcoir_preload.so$' run -- sh -c 'echo $LD_PRELOAD'
LD_PRELOAD=libc.so.6 expect 0 'libcoir_preload.so:libc.so.6$' run -- sh -c 'echo $LD_PRELOAD'
expect 0 libcoir_preload.so run -- cat /proc/self/maps

# What cannot be preloaded, and why.
expect 127 'no such program' run -- no-such-program-anywhere
expect 127 'no such program' run -- /no/such/program
expect 126 'not an executable' run -- /etc/passwd
expect 126 'not an executable' run -- /
expect 126 'statically linked' run -- "$static_program"
printf 'neither\n' > "$work/text"
printf '#! /bin/sh\necho script $1\n' > "$work/script"
printf '#!/no/such/interpreter\n' > "$work/orphan"
printf '#!%s\n' "$static_program" > "$work/static-script"
printf '\177ELF' > "$work/stump"
chmod +x "$work"/*
expect 126 'neither an ELF program' run -- "$work/text"
expect 0 '^script one$' run -- "$work/script" one
expect 126 'does not exist' run -- "$work/orphan"
expect 126 'statically linked' run -- "$work/static-script"
expect 126 'not a whole ELF' run -- "$work/stump"
cp /bin/true "$work/true"
{ head -c 18 "$work/true"; printf '\001\000'; tail -c +21 "$work/true"; } > "$work/foreign"
chmod +x "$work/foreign"
expect 126 'another machine' run -- "$work/foreign"
if [ "$(id -u)" = 0 ] && chown nobody "$work/true" 2> /dev/null; then
  chmod u+s "$work/true"
  expect 126 'setuid' run -- "$work/true"
fi

# A launcher without its library.
mkdir -p "$work/bin"
cp "$coir" "$work/bin/coir"
status=0
"$work/bin/coir" run -- true > "$work/output" 2>&1 || status=$?
[ "$status" = 126 ] || fail "a missing library gives status $status"
grep -q 'libcoir_preload.so' "$work/output" || fail "a missing library is not reported"

unset COIR_BACKEND
expect 0 'COIR_BACKEND .*default' config
COIR_STACK=65536 expect 0 'COIR_STACK  *65536  *environment' config
expect 0 'COIR_SPIN_US' config
expect 0 'COIR_OFFLOAD_THREADS' config
