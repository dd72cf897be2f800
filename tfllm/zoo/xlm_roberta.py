"""XLM-RoBERTa (Conneau et al., 2020; `transformers.models.xlm_roberta`): RoBERTa with a SentencePiece vocabulary of 100 languages."""

from tfllm.zoo.roberta import roberta_like

FAMILY = roberta_like("xlm-roberta", "XLMRoberta", vocab_size=30522)
