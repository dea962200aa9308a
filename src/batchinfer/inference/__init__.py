"""The engine: batches in, predictions and failed rows out; never a lost, doubled or misplaced row.

Owns batch sizes, fault isolation, fingerprints, and the ways by which rows reach the model. `spark`
alone knows Spark. Knows nothing of tables, registries or transforms: a model is any object with the
methods of `contracts.ScoringHandler`.
"""
