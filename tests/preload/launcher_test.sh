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
expect 2 'must be uring or epoll' run --backend=other -- true
expect 2 'must be fiber, thread or off' run --mode=fibre -- true
expect 2 'must be a number from 1 to 1024' run --workers=0 -- true
expect 2 'must be a number from 1 to 1024' run --workers=two -- true
expect 2 'must be a number from 1 to 1024' run --workers=99999999999999999999 -- true
expect 2 'must be a number of bytes' run --stack=64k -- true
expect 2 'folder .* does not exist' run --report=/no/such/folder/report -- true
expect 2 'no option --no-such' run --no-such -- true
expect 2 'no option --no-such' run --no-such true
COIR_MODE=fibre expect 2 'COIR_MODE is fibre; it must be' run -- true

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
expect 0 '^epoll$' run --backend epoll sh -c 'echo $COIR_BACKEND'
all='echo $COIR_WORKERS $COIR_MODE $COIR_STACK $COIR_REPORT $COIR_HOOKS'
expect 0 '^3 thread 65536 1 -file,-dns$' \
  run --workers=3 --mode=thread --stack=65536 --report --no-dns --no-file -- sh -c "$all"
expect 0 '^1 -thread,-sync,-io,-file,-dns,-process,-signal,-stdio,-aio$' run --report --no-aio \
  --no-stdio --no-signal --no-process --no-dns --no-file --no-io --no-sync --no-thread sh -c "$all"
(cd "$work" && expect 0 "^$work/report\$" run --report=report -- sh -c 'echo $COIR_REPORT')
expect 0 '^none$' run -- sh -c 'echo ${COIR_WORKERS-none}'
COIR_WORKERS=7 expect 0 '^7$' run -- sh -c 'echo $COIR_WORKERS'
COIR_WORKERS=7 expect 0 '^2$' run --workers=2 -- sh -c 'echo $COIR_WORKERS'
expect 0 '^none off$' run --mode=off -- sh -c 'echo ${LD_PRELOAD-none} $COIR_MODE'
COIR_MODE=off expect 0 '^none$' run -- sh -c 'echo ${LD_PRELOAD-none}'
COIR_MODE=off expect 0 'libcoir_preload.so$' run --mode=thread -- sh -c 'echo $LD_PRELOAD'
LD_PRELOAD=libc.so.6 expect 0 '^libc.so.6$' run --mode=off -- sh -c 'echo $LD_PRELOAD'
# Under itself: once is enough, and off takes it away.
expect 0 '^[^:]*libcoir_preload.so$' run -- "$coir" run -- sh -c 'echo $LD_PRELOAD'
expect 0 '^none$' run -- "$coir" run --mode=off -- sh -c 'echo ${LD_PRELOAD-none}'
expect 0 'libcoir_preload.so$' run -- sh -c 'echo $LD_PRELOAD'
LD_PRELOAD=libc.so.6 expect 0 'libcoir_preload.so:libc.so.6$' run -- sh -c 'echo $LD_PRELOAD'
expect 0 libcoir_preload.so run -- cat /proc/self/maps

# What cannot be preloaded, and why.
expect 127 'no such program' run -- no-such-program-anywhere
expect 127 'no such program' run -- /no/such/program
expect 126 'not an executable' run -- /etc/passwd
expect 126 'not an executable' run -- /
expect 126 'statically linked' run -- "$static_program"
expect 0 '' run --mode=off -- "$static_program"
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
for variable in WORKERS MODE HOOKS REPORT KERNEL_THREADS MONITOR_US SPIN_US OFFLOAD_THREADS; do
  expect 0 "^COIR_$variable .* default " config
done
expect 0 '^COIR_KERNEL_THREADS  *512 ' config
expect 0 '^COIR_MONITOR_US  *2000 ' config

# What config warns about, and what not.
COIR_WROKERS=2 expect 0 'warning: COIR_WROKERS is set, and coir reads no variable' config
COIR_WORKERS=two expect 0 'warning: COIR_WORKERS is two; it must be a number' config
COIR_HOOKS=-dns,file expect 0 'warning: COIR_HOOKS is -dns,file; it must be' config
COIR_HOOKS=-dns, expect 0 'warning: COIR_HOOKS' config
COIR_HOOKS=-dns,-file COIR_REPORT=/tmp/x COIR_MODE= expect 0 '' config
! grep -q warning "$work/output" || fail "config warns about what is right"
