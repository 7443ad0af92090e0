#!/bin/sh
# Debian packages that tests need beside Python's: a browser, publishers and a proxy that are not ours, libsrt.
# What cannot be installed is named; its tests skip and say so. `fetch` as an argument: only download them.
set -u

missing=""
for package in chromium libsrt1.5-gnutls srt-tools nginx-light libnginx-mod-http-js gstreamer1.0-tools gstreamer1.0-plugins-base \
               gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-libav; do
  dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -q '^installed$' || missing="$missing $package"
done
[ -z "$missing" ] && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  # shellcheck disable=SC2086  # a list of words
  [ "${1:-}" = fetch ] && exec apt-get install -y -qq --download-only --no-install-recommends $missing
  # shellcheck disable=SC2086  # a list of words
  apt-get install -y -qq --no-install-recommends $missing >/dev/null && exit 0
fi
echo "TESTS WILL BE SKIPPED: these programs are missing:$missing. Install them to run every test."
