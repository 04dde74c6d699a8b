"""The Functions app: one runtime, and the blueprint of each capability bound to it."""

import gc

import azure.functions as func

from functions.audit.trigger import blueprint as audit
from functions.chat.trigger import blueprint as chat
from functions.console.trigger import blueprint as console
from functions.dead_letters.trigger import blueprint as dead_letters
from functions.exports.trigger import blueprint as exports
from functions.feedback.trigger import blueprint as feedback
from functions.keys.trigger import blueprint as keys
from functions.logs.trigger import blueprint as logs
from functions.model_catalogue.trigger import blueprint as model_catalogue
from functions.ops.trigger import blueprint as ops
from functions.prompts.trigger import blueprint as prompts
from functions.purges.trigger import blueprint as purges
from functions.reasoning.trigger import blueprint as reasoning
from functions.settings.trigger import blueprint as settings
from functions.tenants.trigger import blueprint as tenants
from functions.tokens.trigger import blueprint as tokens
from functions.webhooks.trigger import blueprint as webhooks
from shared.runtime import process_runtime

CAPABILITIES = (
    tenants,
    keys,
    settings,
    model_catalogue,
    exports,
    purges,
    audit,
    prompts,
    chat,
    reasoning,
    feedback,
    dead_letters,
    webhooks,
    tokens,
    logs,
    console,
    ops,
)

# Requests under way hold more objects than Python lets come between two looks for circles (2,000): it went
# through them over and over, for a tenth of all CPU. What a request leaves behind is no circle.
gc.set_threshold(20_000)

runtime = process_runtime()
app = func.FunctionApp()

for bind in CAPABILITIES:
    app.register_functions(bind(runtime))
