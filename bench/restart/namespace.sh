#!/bin/sh
# namespace.sh [--systemd] COMMAND [ARG…]: the first process of a row's own pid, mount and network namespaces. Whatever
# the row starts ends with it. A shell, since pid 1 must reap what loses its parent, and a shell that waits does.
# With --systemd, a real `systemd --user` runs beside COMMAND, on a machine that was not booted with systemd too.
set -eu
ip link set lo up
if [ "$1" = --systemd ]; then
  shift
  mount -t tmpfs tmpfs /run
  mkdir -p /run/systemd/system /run/user/0/systemd/user
  chmod 700 /run/user/0
  export XDG_RUNTIME_DIR=/run/user/0
  /lib/systemd/systemd --user --log-target=console >/run/systemd.log 2>&1 &
  tries=0
  until systemctl --user is-system-running >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || { cat /run/systemd.log >&2; exit 1; }
    sleep 0.1
  done
fi
code=0
"$@" || code=$?
exit "$code"
