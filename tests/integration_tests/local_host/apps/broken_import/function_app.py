"""An app that cannot be imported."""

import a_module_that_nobody_wrote  # type: ignore[import-not-found] # noqa: F401 -- that is the point
import azure.functions as func

app = func.FunctionApp()
