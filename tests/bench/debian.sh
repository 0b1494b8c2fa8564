#!/usr/bin/env bash
# Unpacks packages of the system's own Debian or Ubuntu into a directory, without root and without installing anything.
#
#     debian.sh DIRECTORY NAME=VERSION,VERSION,... ...
#
# Of each package the first version is taken that the system has: one per release of Debian and Ubuntu.
set -euo pipefail
directory=$1
shift
command -v apt-get dpkg-deb > /dev/null || {
  echo "this machine has no apt-get: install $* with its own package manager, and name them by VALGRIND=... and STRACE=..." >&2
  exit 2
}
mkdir -p "$directory"
cd "$directory"
for package in "$@"; do
  name=${package%%=*}
  IFS=, read -ra versions <<< "${package#*=}"
  for version in "${versions[@]}"; do
    # apt's complaint that it does not drop root's rights for this is not of interest; what failed is said below.
    if apt-get download --quiet --quiet "$name=$version" 2> /dev/null; then
      break
    fi
  done
  archives=("$name"_*.deb)
  test -e "${archives[0]}" || {
    echo "apt-get has none of these versions of $name: ${versions[*]} (are its lists fetched? \`apt-get update\` does that)" >&2
    exit 2
  }
  dpkg-deb --extract "${archives[0]}" .
  rm "${archives[0]}"
done
