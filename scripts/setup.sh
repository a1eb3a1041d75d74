#!/usr/bin/env bash
# Set-up for a clean machine: the system packages, then .venv with the Python packages.
# Run by every `make` target; when nothing changed it does nothing and says nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

# One line a package: the Debian package, and a command it brings (to check by on other systems).
PACKAGES=(
    "qemu-system-x86  qemu-system-x86_64"
    "qemu-utils       qemu-img"
    "gdb              gdb"
    "lldb-19          lldb-19"
    "python3-lldb-19  lldb-19"
    "bochs            bochs"
    # Bochs starts with these; its package is content with others.
    "bochsbios        bochs"
    "vgabios          bochs"
    "g++              g++"
    "make             make"
    "binutils         objcopy"
    "grub-common      grub-mkrescue"
    "grub-pc-bin      grub-mkrescue"
    "xorriso          xorriso"
    "mtools           mformat"
    "makedumpfile     makedumpfile"
    "chromium         chromium"
    "poppler-utils    pdftotext"
    "python3          python3"
    "python3-venv     python3"
)

say() { printf 'setup: %s\n' "$*"; }
fail() {
    printf 'setup: %s\n' "$*" >&2
    exit 2
}

# An interrupted or failed set-up is never stamped, so the next one starts again; say so in one line.
trap 'fail "interrupted; run the same command again"' INT TERM HUP

missing_packages() {
    local package command
    for line in "${PACKAGES[@]}"; do
        read -r package command <<<"$line"
        if [[ $SYSTEM == debian ]]; then
            [[ $INSTALLED == *$'\n'"$package installed"$'\n'* ]] || echo "$package"
        else
            command -v "$command" >/dev/null || echo "$command"
        fi
    done
}

as_root() {
    if [[ $(id -u) == 0 ]]; then "$@"; else sudo "$@"; fi
}

can_be_root() {
    [[ $(id -u) == 0 ]] && return
    command -v sudo >/dev/null || return
    # Ask for a password only where somebody can type one.
    sudo -n true 2>/dev/null || { [[ -t 0 ]] && sudo -v; }
}

SYSTEM=other
INSTALLED=
if command -v apt-get >/dev/null && command -v dpkg-query >/dev/null; then
    SYSTEM=debian
    names=("${PACKAGES[@]%% *}")
    INSTALLED=$'\n'$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "${names[@]}" 2>/dev/null || true)$'\n'
fi

mapfile -t missing < <(missing_packages)
if ((${#missing[@]})); then
    [[ $SYSTEM == debian ]] || fail "not found: ${missing[*]}; install them with this system's package manager"
    can_be_root || fail "missing: ${missing[*]}; as root: apt-get update && apt-get install ${missing[*]}"
    say "installing ${missing[*]} (apt-get)"
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    as_root apt-get update >"$log" 2>&1 &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}" \
            >>"$log" 2>&1 </dev/null || {
        cat "$log" >&2
        fail "apt-get could not install ${missing[*]}"
    }
fi

# GDB embeds the system's Python, and loads this environment's packages into it: those with compiled
# parts fit only the Python that installed them. So the system's Python comes before any other.
PYTHON=python3
if /usr/bin/python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    PYTHON=/usr/bin/python3
fi
version=$("$PYTHON" -c 'import sys; sys.version_info < (3, 11) and sys.exit(1); print(sys.version)' | tr -d '\n') ||
    fail "Python 3.11 or newer is needed; $("$PYTHON" --version 2>&1) is here"

stamp=.venv/.setup-stamp
want="$version $PWD $(cat pyproject.toml scripts/setup.sh | sha256sum)"
have=$(cat "$stamp" 2>/dev/null || true)
[[ $have != "$want" ]] || exit 0

# Without a stamp the environment is unfinished, with another Python or place it is of no use: make it
# anew. Otherwise only the project's requirements changed.
if [[ -z $have || $have != "$version $PWD "* ]]; then
    say "creating .venv ($("$PYTHON" --version 2>&1))"
    "$PYTHON" -m venv --clear .venv || fail "could not create .venv"
fi
rm -f "$stamp"
say "installing Python packages into .venv"
.venv/bin/python -m pip install -qq --disable-pip-version-check -e '.[dev]' ||
    fail "pip could not install the Python packages"
printf '%s\n' "$want" >"$stamp.new"
mv "$stamp.new" "$stamp"
say "done"
