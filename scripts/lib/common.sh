# shellcheck shell=bash disable=SC2034 # what it sets is for the scripts that source it
# What the scripts share: messages, packages, free ports, processes that end with the script.
# To be sourced by bash with `set -euo pipefail`; sets WORK, a folder of its own that is removed at the end.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
WORK=$(mktemp -d "${TMPDIR:-/tmp}/herald.XXXXXX")
# Servers that run as users of their own have to reach their folders in here.
chmod 711 "$WORK"
STARTED=()  # "pid signal name" of each process of ours
CLEANUPS=() # further functions to call at the end
USED_PORTS=" "
POLICY=/usr/sbin/policy-rc.d
OUR_POLICY=

say() { printf '%s\n' "$*"; }
note() { printf '%s\n' "$*" >&2; }
die() {
    note "error: $*"
    exit 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "this needs root, and there is no sudo: $*"
    fi
}

# Keeps package scripts from starting servers on all interfaces. One that is there already is left alone.
hold_services() {
    if as_root sh -c "set -C; printf '#!/bin/sh\nexit 101\n' >$POLICY" 2>/dev/null; then
        OUR_POLICY=yes
        as_root chmod 755 "$POLICY"
    fi
}

release_services() {
    if [ -n "$OUR_POLICY" ]; then
        OUR_POLICY=
        as_root rm -f "$POLICY"
    fi
}

missing_packages() {
    local package
    for package in "$@"; do
        if [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" != installed ]; then
            printf '%s ' "$package"
        fi
    done
}

# Installs those of the named Debian packages that are missing.
need_packages() {
    command -v apt-get >/dev/null || die "only Debian and Ubuntu are known here; please install: $*"
    local missing
    read -ra missing <<<"$(missing_packages "$@")"
    [ "${#missing[@]}" -gt 0 ] || return 0
    say "installing ${missing[*]}"
    hold_services
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -y)
    {
        as_root "${apt[@]}" update &&
            as_root "${apt[@]}" install --no-remove --no-install-recommends "${missing[@]}"
    } </dev/null >"$WORK/apt.log" 2>&1 || {
        release_services
        tail -n 20 "$WORK/apt.log" >&2
        note "error: apt-get could not install ${missing[*]}"
        return 1
    }
    release_services
}

# Unpacks the Debian package $1, which can't be installed beside others, to $2, and installs what it needs but
# for the further arguments.
unpack_package() {
    local package=$1 folder=$2 parent needed part without
    shift 2
    without=" $* "
    parent=$(dirname "$folder")
    [ ! -d "$folder" ] || return 0
    say "unpacking $package"
    (cd "$WORK" && apt-get -q download "$package") </dev/null >"$WORK/apt.log" 2>&1 || {
        tail -n 20 "$WORK/apt.log" >&2
        note "error: apt-get could not download $package"
        return 1
    }
    local -a packages=()
    while read -r part; do
        needed=${part%%[ (|:]*}
        case $without in *" $needed "*) ;; *) packages+=("$needed") ;; esac
    done < <(dpkg-deb -f "$WORK/$package"_*.deb Depends | tr ',' '\n' | sed 's/^ *//')
    need_packages "${packages[@]}" || return 1
    mkdir -p "$parent"
    rm -rf "$folder.new"
    dpkg-deb -x "$WORK/$package"_*.deb "$folder.new"
    # Nothing of it is to become another user by being run.
    find "$folder.new" -type f -perm /6000 -exec chmod ug-s {} +
    mv "$folder.new" "$folder"
}

# Sets the variable $1 to a port of 127.0.0.1 that nobody listens on, below those that the system hands out.
free_port() {
    local candidate
    while :; do
        candidate=$((20000 + RANDOM % 12000))
        case $USED_PORTS in *" $candidate "*) continue ;; esac
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$candidate") 2>/dev/null; then
            USED_PORTS="$USED_PORTS$candidate "
            printf -v "$1" '%s' "$candidate"
            return
        fi
    done
}

# start NAME SIGNAL USER COMMAND…: in the background and in a process group of its own, output to
# $WORK/NAME.log. SIGNAL ends it; USER is whom root becomes for it, or - for nobody else.
start() {
    local name=$1 signal=$2 user=$3
    shift 3
    if [ "$user" != - ] && [ "$(id -u)" = 0 ]; then
        set -- setpriv --reuid "$user" --regid "$user" --init-groups -- "$@"
    fi
    setsid "$@" </dev/null >>"$WORK/$name.log" 2>&1 &
    STARTED+=("$! $signal $name")
    LAST_PID=$!
}

stop() {
    local pid=$1 signal=$2 tries=150
    kill "-$signal" -- "-$pid" 2>/dev/null || return 0
    while kill -0 -- "-$pid" 2>/dev/null; do
        tries=$((tries - 1))
        if [ "$tries" = 0 ]; then
            kill -KILL -- "-$pid" 2>/dev/null || true
            break
        fi
        sleep 0.1
    done
    wait "$pid" 2>/dev/null || true
}

# await NAME SECONDS COMMAND…: until the command succeeds; ends with NAME's last lines when its process
# is gone or the time is over.
await() {
    local name=$1 end=$((SECONDS + $2)) pid=$LAST_PID
    shift 2
    until "$@" >/dev/null 2>&1; do
        if [ "$SECONDS" -ge "$end" ] || ! kill -0 "$pid" 2>/dev/null; then
            tail -n 20 "$WORK/$name.log" >&2 || true
            die "$name did not start"
        fi
        sleep 0.2
    done
}

finish() {
    local code=$? i pid signal cleanup
    trap - EXIT
    trap '' INT TERM HUP
    for cleanup in ${CLEANUPS[@]+"${CLEANUPS[@]}"}; do
        "$cleanup" || true
    done
    for ((i = ${#STARTED[@]} - 1; i >= 0; i--)); do
        read -r pid signal _ <<<"${STARTED[i]}"
        stop "$pid" "$signal"
    done
    release_services
    rm -rf "$WORK"
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Rust, also where the shell does not know it yet.
need_rust() {
    if ! command -v cargo >/dev/null && [ -x "$HOME/.cargo/bin/cargo" ]; then
        PATH=$HOME/.cargo/bin:$PATH
    fi
    command -v cargo >/dev/null || die "Rust is missing; https://rustup.rs installs it"
}
