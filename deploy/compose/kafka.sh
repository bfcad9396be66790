#!/bin/bash
# Starts Kafka; new storage gets a cluster id of its own, by which the services notice that a broker has lost everything.
# (The image's own start script gives every new storage the same id.)
set -euo pipefail
properties=/etc/crm/kafka.properties
if [[ ! -f /var/lib/kafka/data/meta.properties ]]; then
    /opt/kafka/bin/kafka-storage.sh format --standalone --ignore-formatted \
        --cluster-id="$(/opt/kafka/bin/kafka-storage.sh random-uuid)" --config $properties
fi
exec /opt/kafka/bin/kafka-server-start.sh $properties
