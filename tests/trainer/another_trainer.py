"""Another team's trainer: consumes retrain-triggers, produces candidates. Only the schemas are shared."""

import sys

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.structs import OffsetAndMetadata

from shared.wire.codec import decode, encode
from shared.wire.schemas import schema

brokers, prefix = sys.argv[1:]
where, group = TopicPartition(f"{prefix}retrain-triggers", 0), f"{prefix}theirs"
asked = KafkaConsumer(where.topic, bootstrap_servers=brokers, group_id=group, enable_auto_commit=False,
                      auto_offset_reset="earliest", isolation_level="read_committed")  # fmt: skip
answer = KafkaProducer(bootstrap_servers=brokers, transactional_id=group)
answer.init_transactions()
for record in asked:
    request, now = decode(schema("retrain-triggers"), record.value), record.timestamp
    answer.begin_transaction()
    if request["application"] == "shop":
        candidate = dict.fromkeys(("reason", "previous", "message", "manifest_sha256"), "") | {
            **{name: request[name] for name in ("request_id", "application", "parameters", "requested_at")},
            "algorithm": "theirs", "status": "trained", "candidate_id": "theirs-1", "rows": 40, "joined": [],
            "artefact": "s3://their-models/shop", "metrics": [{"name": "value", "value": 0.5}], "seed": 0,
            "lineage": request["data"], "decided_from": 0, "attempt": 1, "progress": 1.0, "started_at": now,
            "at": now}  # fmt: skip
        answer.send(f"{prefix}candidates", encode(schema("candidates"), candidate), b"shop", partition=0)
    done = {where: OffsetAndMetadata(record.offset + 1, "", -1)}
    answer.send_offsets_to_transaction(done, asked.group_metadata())
    answer.commit_transaction()
