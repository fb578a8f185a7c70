"""What reward_model, ppo, continuous and dpo share.

`models`, `training`, `scoring` and `likelihood` import torch or transformers: for a train.py to import, and
nobody else.
"""
