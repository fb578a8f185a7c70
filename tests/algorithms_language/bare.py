"""trl as anybody would use it, to compare with."""

from typing import Any

import polars as pl

from shared.algorithms.language.samples import framed


def reward_model(
    model: Any, tokenizer: Any, pairs: pl.DataFrame, parameters: Any, arguments: dict[str, Any]
) -> Any:
    import datasets
    from transformers import PrinterCallback
    from trl import RewardConfig, RewardTrainer

    def ids(side: str) -> list[list[int]]:
        texts = [framed(*row) for row in pairs.select("query", side).iter_rows()]
        found: list[list[int]] = tokenizer(texts)["input_ids"]
        return found

    trainer = RewardTrainer(
        model=model,
        args=RewardConfig(
            **arguments
            | {
                "num_train_epochs": parameters.epochs,
                "per_device_train_batch_size": parameters.batch_size,
                "learning_rate": parameters.learning_rate,
                "gradient_checkpointing": False,
            }
        ),
        train_dataset=datasets.Dataset.from_dict(
            {"chosen_ids": ids("chosen"), "rejected_ids": ids("rejected")}
        ),
        processing_class=tokenizer,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer
