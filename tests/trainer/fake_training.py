"""A training process that does as the file `<application>.behaviour` says, word by word:

train: succeed; slow: succeed in many steps; hold: wait for ever; crash: end by SIGKILL; fail: raise;
refuse: say that the data do not allow it; lack: that a library is missing; grow: take memory;
babble: print nonsense, then succeed.
"""

import hashlib
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

STEPS, STEP_S = 20, 0.02


def say(**said: object) -> None:
    print(json.dumps(said), flush=True)


def ends_with_parent() -> None:
    os.read(0, 1)
    os._exit(1)


def main() -> None:
    threading.Thread(target=ends_with_parent, daemon=True).start()
    orders = json.loads(Path(sys.argv[1]).read_text())
    folder, name = Path(os.environ["FAKE_TRAINING"]), orders["application"]
    (folder / f"{name}.pid").write_text(str(os.getpid()))
    begun = folder / f"{name}.begun"
    with begun.open("a") as file:
        file.write(json.dumps(orders) + "\n")
    told = folder / f"{name}.behaviour"
    words = told.read_text().split() if told.exists() else ["train"]
    attempt = len(begun.read_text().splitlines()) - 1
    word = words[min(attempt, len(words) - 1)]
    if word == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    if word == "fail":
        raise ValueError("the algorithm has a bug")
    if word == "babble":
        print("50% [#####     ]", flush=True)
    if word == "refuse":
        say(outcome={"refused": "rewards: 3 where 100 are needed"})
        return
    if word == "lack":
        say(outcome={"failed": "linear needs torch"})
        return
    held = [bytearray(400 << 20)] if word == "grow" else []
    while word in ("hold", "grow"):
        say(progress={"share": 0.25, "message": "holding"})
        time.sleep(STEP_S)
    del held
    for step in range(STEPS if word == "slow" else 1):
        say(progress={"share": step / STEPS, "message": f"step {step}"})
        time.sleep(STEP_S)
    digest = hashlib.sha256(json.dumps(orders, sort_keys=True).encode()).hexdigest()
    artefact = f"{orders['artefacts']}/{digest}"
    say(outcome={"candidate_id": digest, "artefact": artefact, "rows": 7, "metrics": {"value": 0.5}})


if __name__ == "__main__":
    main()
