"""The deployments of the resource that the endpoint stands in for: names, and the models behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local.llm.errors import RefusedError
from local.llm.families import LISTED, family_of

if TYPE_CHECKING:
    from local.llm.families import Family


class Deployments:
    """What can be asked: models of a known family by name, and what was deployed under other names."""

    def __init__(self) -> None:
        self._models: dict[str, str] = {}

    def put(self, name: str, model: str) -> None:
        """Deploy a model under a name.

        Raises:
            ValueError: There is no such model.
        """
        if family_of(model) is None:
            raise ValueError(f"there is no model {model!r}; there are {', '.join(LISTED)} and their versions")
        self._models[name] = model

    def clear(self) -> None:
        """Take back what was deployed."""
        self._models.clear()

    def listed(self) -> dict[str, str]:
        """List the models by the names that they were deployed under."""
        return dict(self._models)

    def names(self) -> tuple[str, ...]:
        """List what can be asked."""
        return (*LISTED, *self._models)

    def find(self, name: object) -> tuple[str, Family]:
        """Give the model behind a name.

        Raises:
            RefusedError: There is none.
        """
        if not isinstance(name, str) or not name:
            raise RefusedError("you must provide a model parameter")
        model = self._models.get(name, name)
        family = family_of(model)
        if family is None:
            raise RefusedError(
                f"The model `{name}` does not exist or you do not have access to it.",
                None,
                "model_not_found",
                status=404,
                azure={
                    "code": "DeploymentNotFound",
                    "message": "The API deployment for this resource does not exist. If you created the "
                    "deployment "
                    "within the last 5 minutes, please wait a moment and try again.",
                },
            )
        return model, family
