"""HTTP: webhooks, the API, pages, chat interactions and who may use them."""
