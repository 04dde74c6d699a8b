"""`AzureOpenAIService` of the common library document."""
