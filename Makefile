# Two commands matter: `make up` and `make test`.
CARGO ?= cargo

.PHONY: up test lint fmt docs bench

up: ## Build and start the embedded cluster on sample data.
	$(CARGO) run --release --locked -p kamaitachi-gateway -- demo

test: ## Every test.
	$(CARGO) test --workspace --all-features --locked

lint: ## What CI lints.
	$(CARGO) fmt --all --check
	$(CARGO) lint
	$(CARGO) docs
