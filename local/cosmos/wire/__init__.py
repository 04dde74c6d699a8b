"""The REST protocol: routes, headers, authorization, rendering of answers and errors."""
