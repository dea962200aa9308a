#!/usr/bin/env bash
# HAProxy 2.6.12 (Debian 12's package): `option httplog` escapes requests and captured headers, and writes captured cookies as they came.
#
# Its manual (8.6, "Non-printable characters") says that all but the characters 32 to 126 become `#` and two digits, and that `#` itself
# becomes #23 "to avoid any ambiguity". In the two columns of `capture cookie` nothing is: who undoes `#HH` there changes a cookie
# with `#23` in it, and bytes of UTF-8 stand raw in the line. src/log.c of 3.5-dev5 still does so.
# Expected: SID=a#2323b, as the same text in the User-Agent becomes.
# Needs apt-get and Debian 12; one request goes over the loopback interface.
set -euo pipefail
WORK=$(mktemp -d)
trap '[ -z "${PROXY:-}" ] || kill "$PROXY"; rm -rf "$WORK"' EXIT
cd "$WORK"
apt-get download haproxy=2.6.12-1+deb12u4 liblua5.3-0 libopentracing-c-wrapper0 libopentracing1 >/dev/null 2>&1
for package in *.deb; do dpkg -x "$package" root; done
cat >haproxy.cfg <<'CFG'
global
  log stdout format raw local0
defaults
  mode http
  log global
  option httplog
  timeout client 5s
  timeout server 5s
  timeout connect 5s
listen web
  bind 127.0.0.1:18299
  capture cookie SID len 40
  capture request header User-Agent len 40
  server web 127.0.0.1:18298
CFG
LD_LIBRARY_PATH="$WORK/root/usr/lib/x86_64-linux-gnu" root/usr/sbin/haproxy -db -f haproxy.cfg >log 2>&1 &
PROXY=$!
python3 - <<'PY'
import socket
import threading
import time

web = socket.create_server(("127.0.0.1", 18298))


def answer():
    asked, _ = web.accept()
    asked.recv(1000)
    asked.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")


threading.Thread(target=answer, daemon=True).start()
for _ in range(50):
    try:
        server = socket.create_connection(("127.0.0.1", 18299))
        break
    except OSError:
        time.sleep(0.1)
server.sendall("GET / HTTP/1.1\r\nHost: h\r\nUser-Agent: a#23b é\r\nCookie: SID=a#23bé\r\n\r\n".encode())
server.recv(1000)
PY
sleep 1
cat log
grep -q '{a#2323b #C3#A9}' log
grep -q ' SID=a#23bé ' log || { echo "cookies are escaped now"; exit 1; }
