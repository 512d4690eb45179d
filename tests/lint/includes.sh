#!/bin/sh
# Fails if a file includes what its folder or its suffix does not allow; includes.txt has the rules.
# Headers of adapters are for adapters; daemon/ and cli/ and the guard, which join things, may
# include them too, and so may each main.c.
set -eu
cd "$(dirname "$0")/../.."
rules=tests/lint/includes.txt
find base raft pgctl ha api conf cli daemon -name "*.[ch]" 2>/dev/null | sort | while read -r file; do
    awk -v file="$file" '
        BEGIN {
            adapter = "_(uv|lmdb|pq|msgpack|yaml|sys|mhd|gnutls|json|curl)[.][ch]$"
            folder = file
            sub(/[\/].*/, "", folder)
            suffix = "*"
            if (match(file, adapter)) {
                suffix = substr(file, RSTART, RLENGTH - 2)
            } else if (file ~ /\/main[.]c$/) {
                suffix = "main"
            }
            joins = folder == "daemon" || folder == "cli" || file ~ /^pgctl\/guard\//
        }
        FNR == NR && /^#/ { part++; next }
        FNR == NR && part == 1 { for (i = 2; i <= NF; i++) own[$1, $i] = 1; next }
        FNR == NR { sys[$1] = $2; next }
        /^#include "/ {
            path = $2
            gsub(/"/, "", path)
            top = path
            sub(/[\/].*/, "", top)
            if (!((folder, top) in own) && !((folder, path) in own)) {
                bad()
            } else if (suffix == "*" && !joins && path ~ adapter) {
                bad()
            }
        }
        /^#include </ {
            name = $2
            gsub(/[<>]|[.]h>/, "", name)
            if (name !~ "^(" sys["*"] ")$" && (suffix == "*" || name !~ "^(" sys[suffix] ")$")) {
                bad()
            }
        }
        function bad() { printf "%s:%d: %s is not for this file\n", file, FNR, $2; found = 1 }
        END { exit found }
    ' "$rules" "$file" || echo "$file: failed"
done | { ! grep . ; }
