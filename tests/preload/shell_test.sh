#!/bin/sh
# Shells, pipelines and archives.
. "${0%/*}/support.sh"
need tar gzip sha256sum

head -c 3000000 /dev/urandom > "$work/random"
same_with_hooks sh -c "cat '$work/random' | wc -c"
same_with_hooks sh -c "cat '$work/random' | gzip -n -1 | gzip -d | sha256sum"
same_with_hooks sh -c 'for i in 1 2 3; do echo $i; done | sort -r | tr "\n" " "; exit 7'
same_with_hooks sh -c 'sleep 0.05 & wait; echo waited; kill -TERM $$'
same_with_hooks ls /nowhere

mkdir "$work/tree"
cp "$work/random" "$work/tree/a"
echo text > "$work/tree/b"
"$coir" run -- tar -C "$work" -czf "$work/tree.tar.gz" tree
mkdir "$work/unpacked"
"$coir" run -- tar -C "$work/unpacked" -xzf "$work/tree.tar.gz"
diff -r "$work/tree" "$work/unpacked/tree" || fail "the archive did not come back as it was"
echo "the archive came back byte for byte"
