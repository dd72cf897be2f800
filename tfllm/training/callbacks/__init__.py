"""Keras callbacks, each usable on its own with a plain `model.fit(..., callbacks=[...])`.

They speak to each other through Keras' `logs`: `Throughput` adds speeds to it and `Evaluate` adds `val_<metric>`, which
the callbacks after them in the list see. So put those two first.
"""
