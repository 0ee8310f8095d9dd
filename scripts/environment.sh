# Sourced by scripts/run and scripts/test: finds a Python, makes a virtual environment, keeps it up to date.
# shellcheck shell=bash

root="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)"
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

say() { printf '== %s\n' "$*"; }

die() {
    printf 'error: %s\n' "$*" >&2
    exit 2
}

# Prints the first Python of at least 3.11; $PYTHON, when set, is the only candidate.
find_python() {
    local candidate
    local candidates=(python3 python3.14 python3.13 python3.12 python3.11 python)
    if [ -n "${PYTHON:-}" ]; then candidates=("$PYTHON"); fi
    for candidate in "${candidates[@]}"; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            command -v -- "$candidate"
            return
        fi
    done
    die "no Python >= 3.11 found (tried: ${candidates[*]}); install one (Debian: apt install python3 python3-venv)" \
        "or name one: PYTHON=/path/to/python3.11 $0"
}

# prepare FOLDER EXTRAS WHAT GB: makes the environment FOLDER with the package and EXTRAS ("" or "[a,b]") installed,
# where that many gigabytes are free. Does nothing when FOLDER was made from the same pyproject.toml and constraints.txt.
prepare() {
    local folder="$1" extras="$2" what="$3" needed="$4" python fingerprint free
    local env="$root/$folder" stamp="$root/$folder/leadline.stamp"
    if ! "$env/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
        python="$(find_python)"
        free=$(($(df -Pk -- "$root" | awk 'NR == 2 { print $4 }') / 1048576))
        if [ "$free" -lt "$needed" ]; then
            die "$folder needs $needed GB, and $free GB are free in $root; free some (old environments and clones?)" \
                "and run $0 again"
        fi
        say "making $folder with $("$python" --version) ($python)"
        rm -rf -- "$env"
        "$python" -m venv "$env" || {
            rm -rf -- "$env"
            die "$python cannot make virtual environments; install its venv module (Debian: apt install python3-venv)"
        }
    fi
    # The environment points at this folder, so moving the folder renews it.
    fingerprint="$("$env/bin/python" - "$root" "$extras" <<'PYTHON'
import hashlib, pathlib, sys
root, extras = sys.argv[1:]
digest = hashlib.sha256(f"{root}\0{extras}\0{sys.version}".encode())
for name in ("pyproject.toml", "constraints.txt"):
    digest.update(pathlib.Path(root, name).read_bytes())
print(digest.hexdigest())
PYTHON
)"
    if [ "$(cat "$stamp" 2>/dev/null)" = "$fingerprint" ]; then return; fi
    rm -f -- "$stamp"
    say "installing $what into $folder"
    "$env/bin/python" -m pip install -qq --constraint "$root/constraints.txt" --editable "$root$extras" ||
        die "installation failed; the reason is above (no network, or the disk full?). Running $0 again continues."
    printf '%s\n' "$fingerprint" >"$stamp"
}
