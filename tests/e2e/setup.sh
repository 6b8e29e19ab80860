#!/usr/bin/env bash
# Installs a browser for the tests of the Temporal UI, where there is none. Says so first; a second call does nothing.
set -euo pipefail

for browser in chromium chromium-browser google-chrome google-chrome-stable headless_shell; do
  if command -v "$browser" >/dev/null; then exit 0; fi
done

if ! command -v apt-get >/dev/null; then
  echo "the browser tests need Chromium and this machine has no apt-get: install it yourself (a program named chromium or google-chrome), then run make e2e again" >&2
  exit 1
fi
sudo=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "the browser tests need Chromium: run this once as root: apt-get install chromium" >&2; exit 1; }
  sudo=(sudo)
fi

echo "installing for the browser tests: chromium"
# Another installation may be under way, and a mirror may be away for a moment.
patient=(-o DPkg::Lock::Timeout=300 -o Acquire::Retries=5)
"${sudo[@]}" apt-get "${patient[@]}" -qq update
# The font is named, because without one every page renders as boxes and the screenshots show nothing.
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get "${patient[@]}" -qq install -y --no-install-recommends chromium fonts-dejavu-core >/dev/null
