"""The deployments of the resource that the endpoint stands in for: names, and the models behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local.llm.errors import RefusedError
from local.llm.families import LISTED, LISTED_EMBEDDINGS, embedding_family_of, family_of

if TYPE_CHECKING:
    from local.llm.families import EmbeddingFamily, Family


class Deployments:
    """Names that can be asked: of models of a known family, and of what was deployed under others."""

    def __init__(self) -> None:
        self._models: dict[str, str] = {}

    def put(self, name: str, model: str) -> None:
        """Deploy a model under a name.

        Raises:
            ValueError: There is no such model.
        """
        if family_of(model) is None and embedding_family_of(model) is None:
            known = ", ".join((*LISTED, *LISTED_EMBEDDINGS))
            raise ValueError(f"there is no model {model!r}; there are {known} and their versions")
        self._models[name] = model

    def clear(self) -> None:
        """Take back what was deployed."""
        self._models.clear()

    def listed(self) -> dict[str, str]:
        """List the models by the names that they were deployed under."""
        return dict(self._models)

    def names(self) -> tuple[str, ...]:
        """List what can be asked."""
        return (*LISTED, *LISTED_EMBEDDINGS, *self._models)

    def find(self, name: object) -> tuple[str, Family]:
        """Give the model behind a name, and what it can do.

        Raises:
            RefusedError: There is none, or it answers no chats.
        """
        model = self._model(name)
        family = family_of(model)
        if family is None:
            raise RefusedError(
                "This is not a chat model and thus not supported in the v1/chat/completions endpoint. Did "
                "you mean to use v1/embeddings?",
                "model",
                status=404,
                azure=_unsupported("chatCompletion", name),
            )
        return model, family

    def find_embedding(self, name: object) -> tuple[str, EmbeddingFamily]:
        """Give the embedding model behind a name, and what it can do.

        Raises:
            RefusedError: There is none, or it embeds nothing.
        """
        model = self._model(name)
        family = embedding_family_of(model)
        if family is None:
            raise RefusedError(
                "You are not allowed to generate embeddings from this model",
                status=403,
                azure=_unsupported("embeddings", name),
            )
        return model, family

    def _model(self, name: object) -> str:
        if not isinstance(name, str) or not name:
            raise RefusedError("you must provide a model parameter")
        model = self._models.get(name, name)
        if family_of(model) is not None or embedding_family_of(model) is not None:
            return model
        raise RefusedError(
            f"The model `{name}` does not exist or you do not have access to it.",
            None,
            "model_not_found",
            status=404,
            azure={
                "code": "DeploymentNotFound",
                "message": "The API deployment for this resource does not exist. If you created the "
                "deployment within the last 5 minutes, please wait a moment and try again.",
            },
        )


def _unsupported(operation: str, name: object) -> dict[str, str]:
    """Say in Azure's words that a model does something else."""
    return {
        "code": "OperationNotSupported",
        "message": f"The {operation} operation does not work with the specified model, {name}. Please choose "
        "different model and try again.",
    }
