"""The subcommands of `tfllm`, a file each: a dataclass of options, from which the flags come, and a function that runs
it."""
