#!/bin/sh
# Runs the published client of Confidential Containers (kbs-client) against `npm start`, with its sample attester.
#
#   test/interop/kbs-client.sh PATH-TO-kbs-client        or KBS_CLIENT=PATH test/interop/kbs-client.sh
#
# Without the binary it says that it was skipped. Needs what `npm start` needs, and openssl. Everything stays on loopback.
set -u
cd "$(dirname "$0")/../.." || exit 2

client=${1:-${KBS_CLIENT:-}}
if [ -z "$client" ]; then
  echo "skipped: no kbs-client given; name its binary as the argument or in KBS_CLIENT"
  exit 0
fi
if [ ! -x "$client" ]; then
  echo "error: $client is no program that can be run" >&2
  exit 2
fi

work=$(mktemp -d) || exit 2
export RUST_LOG=error
pid=
finish() {
  [ -n "$pid" ] && kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

./claviger dev --folder "$work/dev" --broker-port 0 --node-port 0 --dangerous-allow-sample ${CLAVIGER_MODEL:+--model "$CLAVIGER_MODEL"} \
  >"$work/out" 2>"$work/err" &
pid=$!
url=
waited=0
while [ -z "$url" ] && [ "$waited" -lt 300 ] && kill -0 "$pid" 2>/dev/null; do
  sleep 1
  waited=$((waited + 1))
  url=$(sed -n 's/^broker, verifier, log  \(http[^ ]*\) .*/\1/p' "$work/out")
done
if [ -z "$url" ]; then
  echo "error: npm start does not answer" >&2
  tail -5 "$work/err" >&2
  exit 1
fi

passed=0
failed=0
result() {
  if [ "$1" -eq 0 ]; then
    passed=$((passed + 1))
    echo "ok      $2"
  else
    failed=$((failed + 1))
    echo "FAILED  $2"
    tail -5 "$work/said" | sed 's/^/        /'
  fi
}
kbs() { timeout 120 "$client" --url "$url" "$@" >"$work/answer" 2>"$work/said"; }
admin() { kbs config --admin-token-file "$work/dev/services/admin-token" "$@"; }
# The command succeeds.
does() { what=$1; shift; "$@"; result $? "$what"; }
# The command fails, and the answer of the broker that it shows has this in it.
refused() {
  what=$1
  word=$2
  shift 2
  if "$@"; then result 1 "$what: it was not refused"; else
    grep -q "$word" "$work/said"
    result $? "$what"
  fi
}
# A resource is the secret, in base64 as the client prints it.
gets() {
  what=$1
  shift
  kbs get-resource --path default/key/one "$@" && [ "$(cat "$work/answer")" = "$(base64 -w0 "$work/secret")" ]
  result $? "$what"
}

printf 'a secret of %s bytes\n' 20 >"$work/secret"
printf 'x%.0s' $(seq 43) >"$work/wrong-token"
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$work/p256.pem" 2>/dev/null
openssl genrsa -traditional -out "$work/rsa.pem" 2048 2>/dev/null
printf '@id("all") permit (principal, action, resource);' >"$work/all.cedar"
printf 'package policy\n\ndefault allow = true\n' >"$work/other.rego"

does 'an administrator stores a resource' admin set-resource --path default/key/one --resource-file "$work/secret"
refused 'a wrong token stores nothing' AdminAuthAccess \
  kbs config --admin-token-file "$work/wrong-token" set-resource --path default/key/one --resource-file "$work/secret"
refused 'nobody gets it while no policy allows it' PolicyDeny kbs get-resource --path default/key/one
does 'the policy that allows all is taken' admin set-resource-policy --allow-all
gets 'background check: a guest gets the resource'
gets 'background check with a key of P-256 that it brings' --tee-key-file "$work/p256.pem"
gets 'background check with a key of RSA that it brings' --tee-key-file "$work/rsa.pem"
for key in p256 rsa; do
  does "a guest gets a token for its key of $key" kbs attest --tee-key-file "$work/$key.pem"
  cp "$work/answer" "$work/token"
  gets "passport: with the token and the key of $key" --tee-key-file "$work/$key.pem" --attestation-token "$work/token"
done
printf 'a.b.c' >"$work/bad-token"
refused 'passport: another token gets nothing' . \
  kbs get-resource --path default/key/one --tee-key-file "$work/p256.pem" --attestation-token "$work/bad-token"
refused 'a resource that is not there' 'esource not found' kbs get-resource --path default/key/two
refused 'other Rego is refused' ParsePolicyError admin set-resource-policy --policy-file "$work/other.rego"
refused 'the policy that asks for affirming is refused' ParsePolicyError admin set-resource-policy --affirming
does 'an attestation policy in Cedar' admin set-attestation-policy --type cedar --id default_cpu --policy-file "$work/all.cedar"
refused 'an attestation policy in Rego is refused' ParsePolicyError \
  admin set-attestation-policy --type rego --id default_cpu --policy-file "$work/other.rego"
refused 'reference values are refused' RvpsError admin set-sample-reference-value name value
does 'a reference value that nobody set is null' admin get-reference-value --id name
does 'the policy that denies all is taken' admin set-resource-policy --deny-all
refused 'and nobody gets anything' PolicyDeny kbs get-resource --path default/key/one
does 'an administrator takes the resource away' admin delete-resource --path default/key/one

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
