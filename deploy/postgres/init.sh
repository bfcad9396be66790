#!/bin/bash
# Makes, in a new PostgreSQL, a database with an owner and a serving role for each service: what crm_local.provisioning does elsewhere.
# Passwords come from <SERVICE>_OWNER_PASSWORD and <SERVICE>_APP_PASSWORD.
set -euo pipefail

for name in profiles segmentation tickets loyalty gateway; do
    psql -v ON_ERROR_STOP=1 --no-psqlrc --quiet --username "$POSTGRES_USER" --dbname postgres \
        -v database="crm_$name" -v owner="${name}_owner" -v app="${name}_app" \
        -v owner_variable="${name^^}_OWNER_PASSWORD" -v app_variable="${name^^}_APP_PASSWORD" <<'SQL'
\getenv owner_password :owner_variable
\getenv app_password :app_variable
CREATE ROLE :"owner" LOGIN PASSWORD :'owner_password';
CREATE ROLE :"app" LOGIN PASSWORD :'app_password';
CREATE DATABASE :"database" OWNER :"owner";
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"database" TO :"app";
\connect :"database"
CREATE EXTENSION pg_trgm;
CREATE EXTENSION btree_gin;
CREATE EXTENSION unaccent;
CREATE EXTENSION citext;
ALTER SCHEMA public OWNER TO :"owner";
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO :"app";
SQL
done
