#!/bin/sh
# Makes the speech sample that the demo and the speech test transcribe. Needs espeak-ng (Debian package of that name).
# The result is committed, so that nobody needs espeak-ng to run anything.
set -eu
out="$(dirname "$0")/../../cli/assets/ask-not.wav"
espeak-ng -v en-us -s 140 -w "$out" \
  'Ask not what your country can do for you. Ask what you can do for your country.'
