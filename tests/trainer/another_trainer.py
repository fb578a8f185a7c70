"""Another team's trainer: consumes retrain-triggers, produces candidates. Only the schemas are shared."""

import sys
import time

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.structs import OffsetAndMetadata

from shared.wire.codec import decode, encode
from shared.wire.schemas import schema

OURS = "shop"
brokers, prefix = sys.argv[1:]
topic = f"{prefix}retrain-triggers"
asked = KafkaConsumer(topic, bootstrap_servers=brokers, group_id=f"{prefix}theirs", enable_auto_commit=False,
                      auto_offset_reset="earliest", isolation_level="read_committed")  # fmt: skip
answer = KafkaProducer(bootstrap_servers=brokers, transactional_id=f"{prefix}theirs")
answer.init_transactions()
for record in asked:
    request = decode(schema("retrain-triggers"), record.value)
    answer.begin_transaction()
    if request["application"] == OURS:
        now = time.time_ns() // 1_000_000
        candidate = {
            **{name: request[name] for name in ("request_id", "application", "parameters", "requested_at")},
            **dict.fromkeys(("reason", "previous", "message"), ""), "joined": [], "algorithm": "theirs",
            "status": "trained", "candidate_id": "theirs-1", "artefact": "s3://their-models/shop",
            "manifest_sha256": "", "lineage": request["data"], "decided_from": 0, "rows": 40, "seed": 0,
            "metrics": [{"name": "value", "value": 0.5}], "attempt": 1, "progress": 1.0,
            "started_at": now, "at": now,
        }  # fmt: skip
        answer.send(
            f"{prefix}candidates", encode(schema("candidates"), candidate), key=OURS.encode(), partition=0
        )
    done = {TopicPartition(topic, 0): OffsetAndMetadata(record.offset + 1, "", -1)}
    answer.send_offsets_to_transaction(done, asked.group_metadata())
    answer.commit_transaction()
