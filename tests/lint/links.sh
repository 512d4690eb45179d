#!/bin/sh
# Fails if the documentation names something of this repository that is not there: the target of
# a link, a heading that a link goes to, a path in `backquotes` that begins with a folder of ours
# and ends like a file, or, in a README.md, the name of a source file of its folder. Paths with a
# * or a < are patterns and are left alone. Links to other sites are not followed.
set -eu
cd "$(dirname "$0")/../.."

# One line for each reference: FILE LINE KIND WHAT. Code blocks are left out.
references() {
    awk '
        FNR == 1 { code = 0 }
        /^ *```/ { code = !code; next }
        code { next }
        {
            line = $0
            while (match(line, /\]\([^) ]+\)/)) {
                print FILENAME, FNR, "link", substr(line, RSTART + 2, RLENGTH - 3)
                line = substr(line, RSTART + RLENGTH)
            }
            line = $0
            while (match(line, /`[^`]+`/)) {
                word = substr(line, RSTART + 1, RLENGTH - 2)
                line = substr(line, RSTART + RLENGTH)
                if (word ~ /^(base|raft|ha|pgctl|api|conf|cli|daemon|tests|docs)\/[^ *<]*\.[a-z]+$/) {
                    print FILENAME, FNR, "path", word
                } else if (FILENAME ~ /README.md$/ && word ~ /^[a-z0-9_.\/-]*[.](c|h|sh|py)$/) {
                    print FILENAME, FNR, "link", word
                }
            }
        }' "$@"
}

# The anchors of a file: its headings in lower case, spaces as dashes, without punctuation.
anchors() {
    awk '/^ *```/ { code = !code } !code && /^#+ / { sub(/^#+ /, ""); print }' "$1" |
        tr '[:upper:]' '[:lower:]' | sed 's/[^a-z0-9 _-]//g; s/ /-/g'
}

check() {
    file=$1 line=$2 kind=$3 what=$4
    if [ "$kind" = path ]; then
        [ -e "$what" ] || echo "$file:$line: there is no $what"
        return 0
    fi
    case $what in http://* | https://* | mailto:*) return 0 ;; esac
    target=${what%%#*}
    if [ -z "$target" ]; then target=$file; else target=$(dirname "$file")/$target; fi
    if [ ! -e "$target" ]; then
        echo "$file:$line: the link leads nowhere: $what"
    elif [ "$what" != "${what#*#}" ] && ! anchors "$target" | grep -qxF -- "${what#*#}"; then
        echo "$file:$line: no such heading: $what"
    fi
}

# Dot directories are not ours to check.
# shellcheck disable=SC2046 # A list of names without spaces, to be split.
problems=$(references $(find . -path './.*' -prune -o -path '*/.*' -prune -o -path ./build -prune \
    -o -name '*.md' -print | sed 's|^\./||' | sort) |
    while read -r file line kind what; do
        check "$file" "$line" "$kind" "$what"
    done)
[ -z "$problems" ] || { echo "$problems"; exit 1; }
