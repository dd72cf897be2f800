"""The README.md of a run: a model card."""

from __future__ import annotations

from pathlib import PurePath

_TEMPLATE = """\
# {{ base }} fine-tuned on {{ task.name }}

{{ task.description or task.name }}

| | |
| --- | --- |
| base model | {{ base }} ({{ results.model.family }}, {{ "{:,}".format(results.model.parameters) }} weights) |
| task | {{ task.name }}, version {{ task.version }}, {{ task.kind }} {%- if task.labels %} of {{
task.labels | join(", ") }} {%- endif %} |
| data | {{ task.source or "files of the user's own" }} |
| licence of the data | {{ task.licence }} |

## Scores

| split | metric | score | 95 % interval | examples |
| --- | --- | --- | --- | --- |
{% for split, scores in results.scores.items() -%}
{% for name in task.metrics -%}
| {{ split }} | {{ name }} | {{ "%.4f" % scores[name] }} | {{ "%.4f to %.4f" | format(*scores.ci95[name]) }} | {{
scores.n }} |
{% endfor -%}
{% endfor %}
{%- for split, scores in results.baseline.items() %}
The trivial baseline ({{ scores.get("name", "unnamed") }}) has {{ task.main_metric }} {{ "%.4f" %
scores[task.main_metric] }} on {{ split }}.
{% endfor %}
The interval comes from drawing the evaluated examples again (bootstrap); it does not cover what another seed would
give.
{%- if results.evaluations | length > 1 %} The weights are those of the best of {{ results.evaluations | length }}
evaluations on {{ results.selection_split }}, so the score there leans to the favourable side.
{%- endif %}

## Training

{% if config.ema -%}
Scored and saved are not the weights of a step, but their exponential moving average: after each step {{ config.ema }} of it stays,
from the first step's weights on.

{% endif -%}
{{ results.steps }} optimizer steps in {{ "%.0f" % results.seconds.train }} s, best at step {{ results.best_step }}.
{%- if results.throughput.examples_per_second is defined %} {{ "%.0f" % results.throughput.examples_per_second
}} examples/s.
{%- endif %}

| setting | value |
| --- | --- |
{% for name, value in settings.items() -%}
| {{ name }} | {{ value }} |
{% endfor %}
## Limits

- Texts are cut to {{ results.max_length }} tokens. Examples that were longer:
  {{ results.truncated.items() | map("join", " ") | join(", ") }}.
- Scores are on {{ task.name }}'s own splits; texts of another kind can fare worse. The base model's biases carry over.
- The licences of the base model and of the data apply.

## Use

```python
import tfllm

{% if results.model.format == "KerasHub" -%}
model = tfllm.from_keras_hub("model")    # the directory beside this file, a KerasHub preset
{%- else -%}
model = tfllm.load("model")    # the directory beside this file; transformers opens it too
{%- endif %}
```

Made with {{ results.versions.items() | map("join", " ") | join(", ") }}, on {{ results.machine.cores }} cores
({{ results.machine.processor }}{% for gpu in results.machine.gpus %}, {{ gpu }}{% endfor %}).
"""

_SETTINGS = (
    "batch_size epochs max_steps optimizer momentum ema learning_rate schedule warmup weight_decay clip_norm layer_decay dtype "
    "max_length layout seed eval_every early_stopping"
).split()


def base_name(model: str) -> str:
    """A model's name for people: a hub handle as it is, of a path the last part: the rest tells of a machine."""
    if model == "demo":
        return "all-MiniLM-L6-v2"
    path = PurePath(model)
    return path.name if path.is_absolute() or len(path.parts) > 2 or model.startswith((".", "~")) else model


def model_card(config, task, results: dict) -> str:
    """The text of the card.

    Args:
        config: the run's `FinetuneConfig`.
        task: the `Task`.
        results: what `results.json` holds.
    """
    import jinja2

    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)
    settings = {name: getattr(config, name) for name in _SETTINGS if getattr(config, name) is not None}
    facts = {
        "name": task.name,
        "version": task.version,
        "kind": task.kind,
        "labels": task.labels,
        "licence": task.licence,
    }
    facts |= {
        "source": task.source_url,
        "description": task.description,
        "metrics": task.metrics,
        "main_metric": task.main_metric,
    }
    return environment.from_string(_TEMPLATE).render(
        base=results["model"]["base"], config=config, task=facts, results=results, settings=settings
    )
