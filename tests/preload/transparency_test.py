#!/usr/bin/env python3
"""Ordinary programs give the same output and exit status with the launcher as without it.

Each case is a shell script that runs in an empty folder of its own, always under the same name:
once natively, then under the launcher with one worker and with two. A case whose programs are not
installed is named and left out.

usage: transparency_test.py LAUNCHER [NAME...]
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

RUN_SECONDS = 90
WORKERS = ("1", "2")


@dataclass
class Case:
    name: str
    needs: str
    script: str
    status: int = 0
    shell: str = "sh"


CASES = []


def case(name, needs, script, **more):
    CASES.append(Case(name, needs, script, **more))


case(
    "dash: pipes, functions, here documents",
    "dash",
    r"""
    count() { while read -r line; do echo "[$line]"; done; }
    printf '%s\n' one two three | count | sort -r
    cat <<END | tr a-z A-Z
a here document with $((6 * 7)) and $(echo a substitution)
END
    x=$(printf 'a\nb\nc\n' | wc -l); echo $x
    (exit 9) || echo status $?
    ! false | true | false && echo negated
    seq 1 100000 | tail -n 1
    yes | head -n 3
    """,
    shell="dash",
)
case(
    "dash: background jobs, wait, traps",
    "dash",
    r"""
    sleep 0.05 & first=$!
    (sleep 0.02; exit 3) & second=$!
    status=0; wait $second || status=$?; echo second $status
    wait $first; echo first $?
    trap 'echo got USR1' USR1
    kill -USR1 $$
    (trap 'echo child got TERM; exit 5' TERM; sleep 0.01 & wait; kill -TERM $(sh -c 'echo $PPID')
     echo not reached) || echo child $?
    sleep 30 & sleeper=$!
    kill $sleeper
    status=0; wait $sleeper || status=$?; echo sleeper $status
    trap 'echo at exit' EXIT
    exit 4
    """,
    status=4,
    shell="dash",
)
case(
    "bash: arrays, substitutions of processes, coprocesses, pipe status",
    "bash",
    r"""
    words=(a b c); declare -A map=([x]=1 [y]=2)
    echo ${#words[@]} ${words[-1]} ${map[y]}
    diff <(seq 1 5) <(seq 1 2 9) || true
    true | false | true; echo ${PIPESTATUS[*]}
    coproc cat; echo through the coprocess >&${COPROC[1]}; read -r line <&${COPROC[0]}; echo $line
    exec {COPROC[1]}>&-
    wait
    read -t 0.05 nothing < <(sleep 1) || echo read timed out
    for i in 1 2 3; do (sleep 0.0$i; exit $i) & done
    ended=0; for i in 1 2 3; do wait -n || ended=$((ended + $?)); done; echo jobs gave $ended
    trap 'echo trapped $BASH_COMMAND' ERR; (exit 2) || true; trap - ERR
    mapfile -t all < <(printf '%s\n' {1..3}{a,b}); echo "${#all[@]}"
    while read -r n; do sum=$((${sum:-0} + n)); done < <(seq 1 1000); echo $sum
    kill -TERM $BASHPID
    """,
    status=-signal.SIGTERM,
    shell="bash",
)
case(
    "core utilities: dd, sort, find, xargs, tee, timeout, split",
    "dd sort find xargs tee timeout split sha256sum",
    r"""
    dd if=/dev/zero bs=64k count=100 2>/dev/null | dd bs=7777 2>/dev/null | sha256sum
    seq 1 200000 | sort --parallel=2 -S 1M -k1.3 > mixed; sha256sum < mixed
    sort -n --parallel=2 mixed | sha256sum; rm mixed
    mkdir d; for i in $(seq 1 40); do echo $i > d/$i; done
    find d -type f -print0 | xargs -0 -P2 -n3 cat | sort -n | tr '\n' ' '; echo
    seq 1 20 | xargs -P2 -I{} sh -c 'exit $(({} == 7))' || echo xargs $?
    seq 1 1000 | tee one two | wc -l; cmp one two
    timeout 0.1 sleep 10 || echo timeout $?
    timeout -s KILL 0.1 sleep 10 || echo killed $?
    seq 1 50000 | split -l 12000 - part.; wc -l part.*
    mkfifo f; (sleep 0.05; echo through a fifo > f) & cat f; wait
    cp -r d e; diff -r d e; rm -r e; ls | sort; tail -n 2 one; df / > /dev/null; date -u -d @0
    (sleep 0.1; echo late >> log) & : > log; timeout 10 tail -f log | head -n 1; wait
    """,
)
case(
    "awk, sed, grep, bc",
    "awk sed grep",
    r"""
    seq 1 10000 | awk '{s += $1 * $1} END {print s; print "sorted" | "cat"; close("cat")}'
    awk 'BEGIN {while (("echo a; echo b" | getline line) > 0) print "got " line; exit 3}' || echo $?
    seq 1 30 | sed -n -e '/5$/{s/^/five: /;p}' -e '29,$w out'; cat out
    seq 1 1000 | grep -c 7; grep nothing /dev/null || echo grep $?
    """,
)
case("bc", "bc", r"""echo 'scale=50; 4*a(1); 2^200; for (i = 0; i < 5; i++) i^3' | bc -l""")
case(
    "tar and gzip",
    "tar gzip",
    r"""
    mkdir -p t/a/b; seq 1 300000 > t/a/b/many; echo x > t/x; ln -s x t/link; chmod 741 t/x
    tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -czf t.tgz t
    gzip -dc t.tgz | sha256sum
    mkdir out; tar -C out -xzf t.tgz; diff -r t out/t; readlink out/t/link; stat -c %a out/t/x
    tar -tzf t.tgz; gzip -t t.tgz; echo garbage > bad.gz; gzip -d bad.gz 2>/dev/null || echo gzip $?
    tar -cf - t | (mkdir piped; cd piped; tar -xf -); diff -r t piped/t; echo done
    """,
)
case(
    "xz with two threads",
    "xz",
    r"""
    seq 1 1500000 > n; xz -0 -T2 --block-size=1MiB -k n; xz -t n.xz; xz -dc -T2 n.xz | cmp - n
    sha256sum n.xz | cut -c 1-64; xz -l --robot n.xz | sed -n 2p
    """,
)
case(
    "zstd with two threads",
    "zstd",
    r"""
    seq 1 1500000 > n; zstd -q -3 -T2 -k n; zstd -q -t n.zst; zstd -q -dc n.zst | cmp - n
    sha256sum n.zst | cut -c 1-64
    """,
)
case(
    "cpio",
    "cpio",
    r"""
    mkdir d out; seq 1 100 > d/a; echo b > d/b
    find d | sort | cpio -o -H newc --quiet > c; (cd out; cpio -i --quiet < ../c); diff -r d out/d
    cpio -t --quiet < c
    """,
)
case(
    "git: commits, branches, merges, clone, gc, grep",
    "git",
    r"""
    export HOME=$PWD GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_DATE='1700000000 +0000'
    export GIT_COMMITTER_DATE=$GIT_AUTHOR_DATE GIT_PAGER=cat LC_ALL=C
    git config --global user.name Someone; git config --global user.email someone@example.org
    git config --global init.defaultBranch trunk; git config --global pack.threads 2
    git config --global protocol.file.allow always; git config --global gc.auto 0
    git init -q r; cd r
    for i in $(seq 1 30); do seq 1 $i > f$((i % 7)); git add .; git commit -qm "change $i"; done
    git checkout -q -b side HEAD~3; echo side > s; git add s; git commit -qm side
    git checkout -q trunk; git merge -q -m merged side
    git log --oneline | sha256sum; git log -3 --stat --format=%s; git diff HEAD~5 --stat
    git gc -q; git fsck --strict 2>/dev/null; git count-objects -v | grep -e in-pack -e packs
    cd ..; git clone -q --no-local r c; git -C c log -1 --format=%H%n%P; git -C c grep -c 12 | sort
    git clone -q --depth 2 "file://$PWD/r" shallow; git -C shallow rev-list --count HEAD
    echo more >> c/s; git -C c commit -qam more; git -C c push -q origin HEAD:refs/heads/pushed
    git -C r rev-parse pushed; git -C c status --short --branch
    git -C c archive HEAD | sha256sum; git -C c rev-parse nothing 2>/dev/null || echo git $?
    """,
)
case(
    "perl: fork, pipes, sockets, signals, select",
    "perl",
    r"""
    cat > p.pl <<'END'
use strict; use warnings; use IO::Socket::INET; use IO::Select; use POSIX qw(:sys_wait_h);
$| = 1;
my @kids = map { my $n = $_; my $pid = fork;
                 if (!$pid) { select undef, undef, undef, 0.01; exit $n }
                 $pid } 1 .. 5;
print join(",", map { waitpid($_, 0); $? >> 8 } @kids), "\n";
pipe(my $in, my $out); if (!fork) { close $in; print $out "line $_\n" for 1 .. 1000; exit 0 }
close $out; my $lines = 0; $lines++ while <$in>; wait; print "$lines lines\n";
my $server = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1') or die;
if (!fork) { my $c = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $server->sockport);
             print $c "hello\n"; print "client: ", scalar <$c>; exit 0 }
my $peer = $server->accept; my $line = <$peer>; my $all = IO::Select->new($peer);
print "server: $line"; print $peer "answer to $line"; wait;
print "readable: ", $all->can_read(5) + 0, "\n";
$SIG{ALRM} = sub { die "alarm\n" }; eval { alarm 1; sleep 20 }; print "eval: $@";
local $SIG{USR1} = sub { print "USR1\n" }; kill USR1 => $$;
print `echo back; exit 3`; print $? >> 8, "\n";
open(my $cat, '|-', 'cat') or die; print $cat "to cat\n";
close $cat; exec 'sh', '-c', 'exit 8';
END
    perl p.pl
    """,
    status=8,
)
case(
    "sqlite3",
    "sqlite3",
    r"""
    sqlite3 db 'pragma journal_mode=wal; create table t(a integer primary key, b text);'
    seq 1 20000 | sed 's/.*/insert into t(b) values("row &");/' > in.sql
    (echo 'begin;'; cat in.sql; echo 'commit;') | sqlite3 db
    sqlite3 db 'select count(*), sum(a), max(b) from t; pragma integrity_check;'
    for i in 1 2 3 4; do
      sqlite3 -cmd '.timeout 20000' db \
        "insert into t(b) values('$i'); update t set b = b || 'x' where a <= 50;" &
    done
    wait; sqlite3 db 'select count(*), (select b from t where a = 7) from t;'
    sqlite3 db .dump | wc -l; sqlite3 db 'select nothing' 2>/dev/null || echo sqlite $?
    """,
)
case(
    "gcc: compile, link and run",
    "gcc",
    r"""
    cat > a.c <<'END'
#include <pthread.h>
#include <stdio.h>
static void* work(void* n) { printf("thread %ld\n", (long)n); return n; }
int main(int count, char** words) {
  for (long i = 0; i < 3; i++) {
    pthread_t t;
    pthread_create(&t, 0, work, (void*)i);
    pthread_join(t, 0);
  }
  return count + words[0][0] * 0;
}
END
    gcc -pipe -O2 -Wall a.c -o a -pthread; ./a x y || echo status $?
    echo 'int main(void) { return nothing; }' | gcc -x c - 2>/dev/null || echo gcc $?
    gcc -O2 -S -o - a.c -pthread | grep -c pthread_create; nm a | grep -w main | cut -d' ' -f2-
    """,
)
case(
    "make with two jobs",
    "make",
    r"""
    cat > Makefile <<'END'
.RECIPEPREFIX = >
all: $(addprefix o/,$(shell seq 1 20))
> @cat o/* | sort -n | tr '\n' ' '; echo
> @+$(MAKE) --no-print-directory -s sub
o/%:
> @mkdir -p o; sleep 0.01; echo $* > $@
sub: $(addprefix p/,$(shell seq 1 6))
> @echo sub has $(words $^)
p/%:
> @mkdir -p p; echo $* > $@
fails:
> @exit 3
END
    make -s -j2; make -s -j2; make -s fails 2>/dev/null || echo make $?
    """,
)
case(
    "node: http, fetch, workers, files, child processes",
    "node",
    r"""
    cat > n.mjs <<'END'
import http from 'node:http'; import { Worker } from 'node:worker_threads';
import fs from 'node:fs/promises'; import { spawn, execFileSync } from 'node:child_process';
import { once } from 'node:events'; import zlib from 'node:zlib'; import crypto from 'node:crypto';
import dns from 'node:dns/promises'; import { promisify } from 'node:util';
const server = http.createServer((ask, answer) => {
  let text = ''; ask.on('data', part => text += part);
  ask.on('end', () => answer.end(ask.url + text));
});
server.listen(0, '127.0.0.1'); await once(server, 'listening');
const base = `http://127.0.0.1:${server.address().port}`;
const get = path => new Promise((done, fail) => http.get(base + path, answer => {
  let text = ''; answer.on('data', part => text += part); answer.on('end', () => done(text));
}).on('error', fail));
console.log((await Promise.all([...Array(50).keys()].map(i => get('/' + i)))).join(' '));
if (globalThis.fetch)
  console.log((await (await fetch(base + '/posted',
    { method: 'POST', body: 'x'.repeat(1e5) })).text()).length);
else console.log(100007);
server.close(); server.closeAllConnections?.();
const code = `const { parentPort, workerData } = require('worker_threads');
  let sum = 0; for (let i = 0; i < 1e6; i++) sum += i % workerData; parentPort.postMessage(sum);`;
console.log((await Promise.all([3, 5, 7].map(async n =>
  (await once(new Worker(code, { eval: true, workerData: n }), 'message'))[0]))).join(' '));
await Promise.all([...Array(20).keys()].map(i => fs.writeFile(`file${i}`, String(i).repeat(1000))));
const texts = await Promise.all([...Array(20).keys()].map(i => fs.readFile(`file${i}`, 'utf8')));
console.log(texts.map(t => t.length).join(' '));
const child = spawn('sh', ['-c', 'cat; exit 5']);
let out = ''; child.stdout.on('data', part => out += part);
child.stdin.end('to the child'); const [status] = await once(child, 'close');
console.log(out, status);
console.log(execFileSync('echo', ['sync']).toString().trim());
console.log((await dns.lookup('127.0.0.1')).address);
const packed = await promisify(zlib.gzip)('z'.repeat(1e6));
console.log((await promisify(zlib.gunzip)(packed)).length);
console.log((await promisify(crypto.pbkdf2)('word', 'salt', 1000, 16, 'sha256')).toString('hex'));
let ticks = 0;
await new Promise(done => {
  const t = setInterval(() => { if (++ticks === 5) { clearInterval(t); done(); } }, 2);
});
process.on('SIGUSR2', () => { console.log('USR2', ticks); process.exit(6); });
process.kill(process.pid, 'SIGUSR2');
setTimeout(() => {}, 20000);
END
    node n.mjs
    """,
    status=6,
)
case(
    "openssl: keys, certificates, digests, a TLS server and client",
    "openssl",
    r"""
    export OPENSSL_CONF=/dev/null; exec 2> errors
    openssl genrsa -out key.pem 2048; openssl rsa -in key.pem -check -noout
    printf '[req]\ndistinguished_name=d\n[d]\n' > c.cnf
    openssl req -config c.cnf -new -x509 -key key.pem -subj /CN=localhost -days 2 -out cert.pem
    openssl x509 -in cert.pem -noout -subject; openssl verify -CAfile cert.pem cert.pem
    seq 1 100000 | openssl dgst -sha256
    seq 1 9 | openssl enc -aes-256-cbc -pbkdf2 -k w | openssl enc -d -aes-256-cbc -pbkdf2 -k w
    echo signed > s; openssl dgst -sha256 -sign key.pem -out s.sig s
    openssl x509 -in cert.pem -noout -pubkey > pub.pem
    openssl dgst -sha256 -verify pub.pem -signature s.sig s
    openssl s_server -accept 127.0.0.1:0 -cert cert.pem -key key.pem \
      -WWW -naccept 1 > log & server=$!
    tries=0
    until grep -q '^ACCEPT 127' log; do sleep 0.05; tries=$((tries + 1)); [ $tries -lt 400 ]; done
    address=$(sed -n 's/^ACCEPT //p' log | head -n 1)
    printf 'GET /s HTTP/1.0\r\n\r\n' |
      timeout 30 openssl s_client -connect "$address" -CAfile cert.pem -quiet -verify_return_error
    wait $server; openssl dgst nothing || echo openssl $?
    """,
)
case(
    "ssh-keygen",
    "ssh-keygen",
    r"""
    ssh-keygen -q -t ed25519 -N '' -C someone -f k; ssh-keygen -y -f k | cut -d' ' -f1
    ssh-keygen -l -f k.pub | sed 's/SHA256:[^ ]*/HASH/'; echo text > m
    ssh-keygen -q -Y sign -f k -n file m 2>/dev/null; (printf 'me '; cat k.pub) > allowed
    ssh-keygen -Y verify -f allowed -I me -n file -s m.sig < m | sed 's/SHA256:.*/HASH/'
    ssh-keygen -l -f nothing 2>/dev/null || echo ssh-keygen $?
    """,
)
case(
    "python3: threads, subprocesses, asyncio, pools",
    "",
    r"""
    "$PYTHON" -c 'import sys; print(sys.argv, len(sys.stdin.read())); exit(3)' a </etc/passwd >o ||
      echo $?; cat o
    cat > p.py <<'END'
import asyncio, multiprocessing, subprocess, threading
from concurrent.futures import ThreadPoolExecutor
if __name__ == "__main__":
    for thread in [threading.Thread(target=print, args=(i,)) for i in range(5)]:
        thread.start()
        thread.join()
    print(sum(ThreadPoolExecutor(8).map(lambda x: x * x, range(1000))))
    with multiprocessing.Pool(2) as pool:
        print(pool.map(abs, range(-5, 5)))
    print(subprocess.run(["sh", "-c", "cat; exit 4"], input=b"in", capture_output=True))
    print(asyncio.run(asyncio.wait_for(asyncio.to_thread(lambda: 42), 20)))
END
    "$PYTHON" p.py
    "$PYTHON" -c 'import os; os.kill(os.getpid(), 2)' 2> e || echo interrupted $?
    tail -n 1 e; "$PYTHON" -c 'import os; os.abort()' || echo aborted $?
    """,
)
case(
    "gdb in batch mode",
    "gdb gcc",
    r"""
    cat > g.c <<'END'
#include <stdio.h>
static int fac(int n) { return n < 2 ? 1 : n * fac(n - 1); }
int main(void) { printf("%d\n", fac(6)); return 7; }
END
    gcc -g -O0 g.c -o g
    # ptrace(2) is for the kernel thread that attached: a tracer that has threads keeps the kernel's
    COIR_MODE=thread timeout 60 gdb -nx -batch -ex 'break fac if n == 1' -ex run -ex bt \
      -ex 'print n + 41' -ex c ./g > out 2>&1 || echo gdb $?
    grep -e '^\$1' -e '^#[0-9] .*fac (n=' -e '^720' -e 'exited with code' out |
      sed -e 's/0x[0-9a-f]*//' -e 's/process [0-9]*/process/'
    """,
)
case(
    "strace",
    "strace",
    r"""
    timeout 30 strace -f -qq -e trace=exit_group -e signal=none -o log \
      sh -c 'sleep 0.01; exit 3' || echo status $?
    grep -c exit_group log
    """,
)
case(
    "a program that is killed, and one that is not there",
    "",
    r"""
    sh -c 'kill -SEGV $$' || echo $?
    no-such-program-anywhere 2>/dev/null || echo $?
    sh -c 'ulimit -c 0; kill -ABRT $$' 2>/dev/null || echo $?
    env -i A=1 sh -c 'echo $A'; cd / && pwd; umask 027; umask; ulimit -n 64; ulimit -n
    sh -c 'exec 3>&1; exec 4<&3; ls /proc/self/fd | wc -l' > n; nice -n 3 nice
    kill -HUP $$
    """,
    status=-signal.SIGHUP,
)


def clean_environment(folder):
    environment = {**os.environ, "LC_ALL": "C", "TMPDIR": folder, "PYTHON": sys.executable}
    environment.pop("LD_PRELOAD", None)
    return environment


def end_group(process):
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def run(command, folder, more_environment):
    """The exit status (or why there is none), the output, and what came on standard error."""
    shutil.rmtree(folder, ignore_errors=True)
    os.mkdir(folder)
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            env={**clean_environment(folder), **more_environment},
            start_new_session=True,
        )
        try:
            status = process.wait(timeout=RUN_SECONDS)
        except subprocess.TimeoutExpired:
            status = "did not end within its time"
        finally:
            end_group(process)
            process.wait()
        texts = []
        for stream in (output, errors):
            stream.seek(0)
            texts.append(stream.read().decode("utf-8", "replace"))
        return status, *texts


def problems(launcher, one, folder):
    command = [one.shell, "-c", "set -eu\n" + one.script]
    status, output, errors = run(command, folder, {})
    if status != one.status or not output:
        yield f"natively: status {status}, not {one.status}\n{output}{errors}"
        return
    for workers in WORKERS:
        launched = run([launcher, "run", "--", *command], folder, {"COIR_WORKERS": workers})
        if launched[:2] != (status, output):
            yield (
                f"with {workers} worker(s): status {launched[0]}, natively {status}\n"
                f"--- natively\n{output}--- launched\n{launched[1]}--- errors\n{launched[2]}"
            )


def main(launcher, names):
    failed = ran = 0
    top = tempfile.mkdtemp(prefix="coir-transparency-")
    try:
        for one in CASES:
            if names and not any(name in one.name for name in names):
                continue
            missing = [program for program in one.needs.split() if not shutil.which(program)]
            if missing:
                print(f"skipped  {one.name}: {', '.join(missing)} not installed", flush=True)
                continue
            began = time.monotonic()
            found = list(problems(launcher, one, os.path.join(top, "run")))
            ran += 1
            failed += bool(found)
            seconds = time.monotonic() - began
            print(f"{'DIFFERS' if found else 'same   '}  {one.name}  ({seconds:.1f} s)")
            for text in found:
                print("    " + text.replace("\n", "\n    "))
            sys.stdout.flush()
    finally:
        shutil.rmtree(top, ignore_errors=True)
    print(f"{ran - failed} the same, {failed} different")
    return 1 if failed or not ran else 0


if __name__ == "__main__":
    sys.exit(main(os.path.abspath(sys.argv[1]), sys.argv[2:]))
