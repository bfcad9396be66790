#!/usr/bin/env bash
# Prints a token of the trial issuer for a role: deploy/compose/token.sh agent
set -euo pipefail
cd "$(dirname "$0")/../.."
role=${1:?which role: agent, supervisor, manager, partner or admin}
umask 077

setting() { sed -n "s/^$1=//p" .env; }
base64url() { base64 | tr -d '=\n' | tr '+/' '-_'; }

now=$(date +%s)
header='{"alg":"EdDSA","typ":"JWT","kid":"trial"}'
claims=$(printf '{"iss":"%s","aud":"%s","sub":"trial-%s","iat":%d,"exp":%d,"roles":["%s"],"scopes":["pii:read"]}' \
    "$(setting ISSUER)" "$(setting AUDIENCE)" "$role" "$now" $((now + 43200)) "$role")
signed=$(printf '%s' "$header" | base64url).$(printf '%s' "$claims" | base64url)
file=$(mktemp)
trap 'rm -f "$file"' EXIT
printf '%s' "$signed" >"$file"
signature=$(openssl pkeyutl -sign -rawin -inkey deploy/compose/issuer.pem -in "$file" | base64url)
echo "$signed.$signature"
