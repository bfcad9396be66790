#!/usr/bin/env bash
# Writes .env for docker-compose.yml, once: fresh passwords and keys. Needs openssl only.
#
# The issuer is one for trying things out, whose tokens token.sh makes. A company's own sign-in takes its place: set
# ISSUER, AUDIENCE and JWKS_URL, and remove ISSUER_KEY.
set -euo pipefail
cd "$(dirname "$0")/../.."
umask 077
if [[ -e .env ]]; then
    echo ".env is there already and is left alone; with other passwords the databases would not open."
    exit 0
fi

password() { openssl rand -hex 24; }
base64url() { base64 | tr -d '=\n' | tr '+/' '-_'; }
# The last 32 bytes of either encoding of an Ed25519 key are the key.
private_part() { openssl pkey -in "$1" -outform DER | tail -c 32 | base64url; }
public_part() { openssl pkey -in "$1" -pubout -outform DER | tail -c 32 | base64url; }
public_jwk() { printf '{"kty":"OKP","crv":"Ed25519","use":"sig","kid":"%s","x":"%s"}' "$2" "$(public_part "$1")"; }
private_jwk() {
    printf '{"kty":"OKP","crv":"Ed25519","use":"sig","kid":"%s","x":"%s","d":"%s"}' \
        "$2" "$(public_part "$1")" "$(private_part "$1")"
}

internal=$(mktemp)
trap 'rm -f "$internal"' EXIT
openssl genpkey -algorithm ed25519 -out "$internal"
openssl genpkey -algorithm ed25519 -out deploy/compose/issuer.pem

{
    echo "POSTGRES_PASSWORD=$(password)"
    for name in PROFILES SEGMENTATION TICKETS LOYALTY GATEWAY; do
        echo "${name}_OWNER_PASSWORD=$(password)"
        echo "${name}_APP_PASSWORD=$(password)"
    done
    echo "CURSOR_SECRET=$(password)"
    echo "SUPPRESSION_SECRET=$(password)"
    echo "UNSUBSCRIBE_SECRET=$(password)"
    echo "INTERNAL_PUBLIC_KEY='$(public_jwk "$internal" internal)'"
    echo "INTERNAL_PRIVATE_KEY='$(private_jwk "$internal" internal)'"
    echo "ISSUER=https://issuer.crm.example"
    echo "AUDIENCE=crm"
    echo "ISSUER_KEY='$(public_jwk deploy/compose/issuer.pem trial)'"
} >.env.partial
mv .env.partial .env
echo "Written: .env and deploy/compose/issuer.pem. Keep both out of version control."
