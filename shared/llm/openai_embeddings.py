"""`EmbeddingModel` on the deployments of a prompt's route. Imported when first used.

It asks as `OpenAIChatModel` does: the same client, attempts, breakers and credentials.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from shared.llm.bounded_answer import MOST_BYTES_OF_EMBEDDINGS
from shared.llm.embedding_answer import read_embeddings

if TYPE_CHECKING:
    from shared.llm.deployment_access import DeploymentAccess
    from shared.llm.deployments import ModelDeployment
    from shared.llm.embedding_model import EmbeddingPrompt, Embeddings
    from shared.llm.provider_http import ProviderHttp
    from shared.llm.route_asker import RouteAsker


class OpenAIEmbeddingModel:
    """Embedding models of all deployments.

    Another deployment is asked in one's place only where it serves the same model: vectors of two models
    cannot be compared.

    Args:
        http: Asks providers.
        access: Where deployments are, and what each is sent.
        asker: Asks the deployments of a route one after the other.
    """

    def __init__(self, http: ProviderHttp, access: DeploymentAccess, asker: RouteAsker) -> None:
        self._http = http
        self._access = access
        self._asker = asker

    async def embed(self, prompt: EmbeddingPrompt) -> Embeddings:
        """Embed a batch.

        Raises:
            APIError: As `EmbeddingModel` and `OpenAIChatModel.complete` say.
        """
        content, deployment = await self._asker.ask(prompt, lambda one: self._post(prompt, one))
        embeddings = await read_embeddings(content, deployment.deployment, prompt.inputs)
        return replace(embeddings, deployment=deployment.name)

    async def _post(self, prompt: EmbeddingPrompt, deployment: ModelDeployment) -> bytes:
        headers = await self._access.headers(deployment)
        body = {**prompt.fields, "model": deployment.deployment}
        if prompt.safety_identifier is not None:
            body["user"] = prompt.safety_identifier  # the only name that this interface has for it
        url = self._access.embeddings_url(deployment)
        return await self._http.post(url, body, headers, MOST_BYTES_OF_EMBEDDINGS)
