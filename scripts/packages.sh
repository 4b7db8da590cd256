# SPDX-License-Identifier: ISC
# Sourced by the other scripts: which Debian packages Muster needs, and how missing ones are installed.

packages_build="build-essential cmake pkg-config libwebsockets-dev libwebsockets-evlib-ev libssl-dev libjson-c-dev libjwt-dev libconfig-dev libev-dev libcurl4-openssl-dev libpq-dev libsqlite3-dev libmariadb-dev libcrypt-dev nodejs"
packages_test="libcunit1-dev git python3 python3-pytest python3-websockets python3-selenium chromium chromium-driver
  node-ws valgrind abigail-tools openssl python3-cryptography nginx-light iproute2 procps tmux postgresql python3-aiohttp python3-psycopg2 mariadb-server python3-pymysql python3-jsonschema
  python3-aiosmtpd jq golang-go golang-github-gorilla-websocket-dev"
# Some builds of nodejs bring npm along, and then do not go together with Debian's package of it.
command -v npm >/dev/null || packages_build="$packages_build npm"
packages_fuzz="clang-14 libclang-rt-14-dev"
packages_lint="clang-format-14 clang-tidy-14 gcovr"

say() { printf '%s\n' "$*"; }
die() { printf '%s\n' "$*" >&2; exit 1; }

# install_packages NAME…: installs what is missing, through sudo where not root.
install_packages() {
  local missing=() name
  for name in "$@"; do
    dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || missing+=("$name")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  command -v apt-get >/dev/null || die "Missing: ${missing[*]}. This is no Debian system: install them by hand and run this again."
  local as=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || die "Missing: ${missing[*]}. Install them as root (apt-get install …), or install sudo."
    as=(sudo)
  fi
  say "Installing ${#missing[@]} packages: ${missing[*]}"
  local log
  log=$(mktemp)
  if ! { "${as[@]}" apt-get update && "${as[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 </dev/null; then
    tail -n 30 "$log" >&2
    rm -f "$log"
    die "apt-get could not install them: see above."
  fi
  rm -f "$log"
}
