#!/usr/bin/env bash
# Runs tests with what is newest: GDB, Python and QEMU of Debian unstable, in a root folder of its own (build/newest),
# made anew where there is none. The kernels are those that were built here. Needs root, debootstrap and 2 GiB.
# Arguments go to pytest; without any, all tests of these folders run but those that need LLDB 19 or a browser.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD/build/newest
tests=(tests/model tests/coronel_gdb tests/gdb tests/dumps tests/plugins
    -k "not both_debuggers and not chromium and not printed_it_begins")
(($# == 0)) || tests=("$@")

say() { printf 'newest: %s\n' "$*"; }
fail() {
    printf 'newest: %s\n' "$*" >&2
    exit 2
}
# Nothing of this environment's Python, and none of its mounts outlives the command.
inside() {
    env -i HOME=/root LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin unshare --mount sh -c '
        mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && exec chroot "$0" "$@"' "$root" "$@"
}

[[ $(id -u) == 0 ]] || fail "only root can make a root folder"

if [[ ! -e $root/.done ]]; then
    command -v debootstrap >/dev/null || fail "debootstrap is missing: apt-get install debootstrap"
    rm -rf "$root"
    say "Debian unstable, into build/newest"
    packages=gdb,python3,python3-venv,qemu-system-x86,qemu-utils,makedumpfile,g++,make,binutils
    debootstrap --variant=minbase --include="$packages" unstable "$root" >"$root.log" 2>&1 ||
        fail "debootstrap failed, see build/newest.log"
    # Registries may be reached through certificates that only this machine knows.
    mkdir -p "$root/etc/ssl/certs"
    cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
    cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
    touch "$root/.done"
fi

rm -rf "$root/work"
mkdir -p "$root/work/build"
git ls-files -z | tar --null -cT - | tar -xC "$root/work"
cp -a build/kernel build/older build/runs build/tags build/hardware "$root/work/build/"
say "the Python packages"
inside sh -c 'cd /work && python3 -m venv .venv && .venv/bin/pip install -q --disable-pip-version-check --cert /etc/ssl/certs/ca-certificates.crt -e ".[dev]"' ||
    fail "pip could not install the packages"

inside sh -c 'gdb --version | head -n 1; gdb -nx -batch -ex "python import sys; print(\"Python\", sys.version)"; qemu-system-x86_64 --version | head -n 1'
inside sh -c 'cd /work && PYTHONPATH=.:qemu .venv/bin/python -m pytest -q -n 2 --dist loadfile -p no:cacheprovider "$@"' sh "${tests[@]}"
