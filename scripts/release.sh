#!/usr/bin/env bash
# Builds source distribution and wheel, installs the wheel in an empty environment and with pipx, and runs the
# tests on what is installed: in the unpacked source distribution, out of which the packages were taken.
# Arguments go to pytest; without any, all tests run.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
out=$root/build/release
python=$root/.venv/bin/python

# With the checkout on its path pip finds the package there already, and installs nothing.
unset PYTHONPATH

say() { printf 'release: %s\n' "$*"; }

rm -rf "$out"
mkdir -p "$out/source"
say "building"
"$python" -m build --no-isolation --outdir "$out/dist" . >"$out/build.log" 2>&1 || {
    tail -20 "$out/build.log" >&2
    exit 2
}
wheel=$(echo "$out"/dist/*.whl)
ls -l "$out"/dist

say "installing the wheel in an empty environment"
"$python" -m venv "$out/venv"
"$out/venv/bin/python" -m pip install -q --disable-pip-version-check "$wheel[dev]" pipx

say "pipx install"
export PIPX_HOME=$out/pipx PIPX_BIN_DIR=$out/bin PIPX_MAN_DIR=$out/man
"$out/venv/bin/pipx" install --python "$python" "$wheel"
"$out/bin/coronel" --version
gdb -nx -batch -ex "$("$out/bin/coronel" gdbinit)" -ex "coronel" | head -3

say "the tests, on the installed wheel"
tar -xzf "$out"/dist/*.tar.gz -C "$out/source" --strip-components=1
cd "$out/source"
rm -rf coronel_gdb model gdbinit.py
# Copies: a test that builds or clears something must not reach this very release, and GDB names where a file really lies.
mkdir build
for made in "$root"/build/*/; do
    [[ $made == "$out/" || $made == */newest/ ]] || cp -a "${made%/}" build/
done
ln -s "$out/venv" .venv
# To scripts/setup.sh, which tests run through make, this environment is as it must be: else it is made anew.
version=$(.venv/bin/python -c 'import sys; print(sys.version)' | tr -d '\n')
printf '%s\n' "$version $PWD $(cat pyproject.toml scripts/setup.sh | sha256sum)" >.venv/.setup-stamp
# What judges the sources and the documents of the checkout has nothing to look at here.
PYTHONPATH=qemu .venv/bin/python -m pytest -n 2 --dist loadfile --ignore tests/test_architecture.py --ignore tests/test_documents.py "$@"
